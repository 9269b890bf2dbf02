// What plain HTML cannot do. Every page works without this file.

// A refused or failed htmx request swaps nothing; its sentence becomes a toast instead.
function toast(sentence) {
  const toasts = document.getElementById("toasts");
  const note = document.createElement("p");
  note.className = "note error";
  note.textContent = sentence;
  toasts.replaceChildren(note);
}

function sentenceOf(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  return page.querySelector("[data-sentence]")?.textContent.trim();
}

document.addEventListener("htmx:responseError", (event) => {
  const { fallback } = document.getElementById("toasts").dataset;
  toast(sentenceOf(event.detail.xhr.responseText) || fallback);
});

document.addEventListener("htmx:sendError", () => {
  toast(document.getElementById("toasts").dataset.offline);
});

document.addEventListener("htmx:timeout", () => {
  toast(document.getElementById("toasts").dataset.slow);
});

// What is being replaced says so; the clock's own refresh of a page does not.
for (const [name, busy] of [["htmx:beforeRequest", true], ["htmx:afterRequest", false]]) {
  document.addEventListener(name, ({ detail }) => {
    if (detail.elt.matches("form")) detail.target.ariaBusy = busy;
  });
}

// A second click on a slow button must not send a second request. Disabling waits for the
// submission to be built, or the clicked button's own value would be left out of it.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  const form = event.target;
  setTimeout(() => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
});

// The back button may bring a page back with its buttons still disabled.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("form button:disabled")) button.disabled = false;
});

// Menus are <details>: a click elsewhere and Escape close them, as people expect of menus.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
