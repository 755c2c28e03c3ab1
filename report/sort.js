document.querySelectorAll("table.sortable").forEach((table) => {
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/,/g, "").replace("−", "-"));
    return /^[−+-]?[\d,]*\.?\d+( .*)?$/.test(text) && !Number.isNaN(number) ? number : text;
  };
  const order = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
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
});
