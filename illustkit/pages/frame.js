// The frame of every page: messages, what screen readers hear, light and dark.

export const $ = (selector) => document.querySelector(selector);

let toastTimer;
export function tell(text, bad = false) {
  $("#toast").classList.toggle("bad", bad);
  $("#toast").textContent = text;
  $("#toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("#toast").hidden = true), 6000);
}

// Screen readers hear what is shown, once.
export function announce(text) {
  if ($("#live").textContent !== text) $("#live").textContent = text;
}

export function toggleTheme(store) {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem(store, root.dataset.theme);
}

export function recallTheme(store) {
  const theme = localStorage.getItem(store);
  if (theme) document.documentElement.dataset.theme = theme;
}

export function toggleHelp() {
  const dialog = $("dialog");
  dialog.open ? dialog.close() : dialog.showModal();
}

// The key that opened the help closes it; the page's own keys rest meanwhile.
$("dialog")?.addEventListener("keydown", (event) => {
  if (event.key !== "?") return;
  event.stopPropagation();
  toggleHelp();
});
