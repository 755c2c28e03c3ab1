const result = document.getElementById("result");

const say = (text) => {
  const line = document.createElement("p");
  line.textContent = text;
  result.replaceChildren(line);
};

// Put what the server answers in the place of the last answer; the address is that of what is shown.
const show = async (address, options) => {
  result.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, options);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const made = page.getElementById("result");
    if (made) result.replaceChildren(...made.childNodes);
    else say(page.body.textContent);
    if (answer.ok) history.replaceState(null, "", answer.url);
  } catch {
    say("The server does not answer; is it still running?");
  }
  result.removeAttribute("aria-busy");
};

document.addEventListener("click", ({ target }) => {
  const opener = target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog).showModal();
  if (target.localName === "dialog") target.close(); // beside its content
});

// Small images show their pixels; load events do not bubble, and are caught on their way down.
const sharpen = (image) => image.classList.toggle("pixels", image.naturalWidth < 160);
document.querySelectorAll("img").forEach((image) => image.naturalWidth && sharpen(image));
document.addEventListener("load", ({ target }) => target.localName === "img" && sharpen(target), true);

// One drawing at a time: what is moved meanwhile is drawn next.
document.querySelectorAll("form[data-live]").forEach((form) => {
  let drawing = false, again = false;
  const draw = async () => {
    again = true;
    if (drawing) return;
    drawing = true;
    while (again) {
      again = false;
      await show(`${form.action}?${new URLSearchParams(new FormData(form))}`);
    }
    drawing = false;
  };
  form.addEventListener("input", () => {
    form.querySelectorAll("output").forEach((shown) => {
      shown.textContent = form.elements[shown.htmlFor[0]].value;
    });
    if (form.checkValidity()) draw();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
});

document.querySelectorAll("form[data-upload]").forEach((form) => {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = form.querySelector("input[type=file]").files;
    if (file.size > Number(form.dataset.upload)) {
      say(`${file.name} is too large.`);
      return;
    }
    const button = form.querySelector("button");
    button.disabled = true;
    say(`Looking for vessels in ${file.name} …`);
    const headers = { "Content-Type": "application/octet-stream" };
    const address = `/predict?${new URLSearchParams({ name: file.name })}`;
    await show(address, { method: "POST", body: file, headers });
    button.disabled = false;
  });
});
