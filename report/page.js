const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/,/g, "").replace("−", "-"));
  return /^[−+-]?[\d,]*\.?\d+( .*)?$/.test(text) && !Number.isNaN(number) ? number : text;
};

const order = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });

const makeSortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      const absent = (row) => value(row, column) === "–";
      rows.sort((a, b) => absent(a) - absent(b) || sign * order(value(a, column), value(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
};

const makeFilterable = (table) => {
  const label = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("span");
  label.className = "filter";
  field.type = "search";
  count.setAttribute("role", "status");
  label.append("Rows with", field, " ", count);
  table.parentElement.before(label);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    rows.forEach((row) => {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = words.length ? `${shown} of ${rows.length}` : "";
  });
};

document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll(".tall table").forEach(makeFilterable);

// What is wider than its frame says that it scrolls, also when the window or a fold changes.
const mark = (frame) => {
  frame.parentElement.classList.toggle("wide", frame.scrollWidth > frame.clientWidth + 1);
};
const watch = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target)));
document.querySelectorAll(".scroll, .strips figure > div").forEach((frame) => {
  mark(frame);
  watch.observe(frame);
});
