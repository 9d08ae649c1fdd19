// What every page needs: toasts, the key overlay, menus, tables that scroll, charts where there are any.
import { gettext, interpolate } from "./i18n.js";
import { keyName, keysEnabled, listKeys, setKeysEnabled, bindKey } from "./keys.js";
import { toast, toastFrom } from "./toast.js";

// --- Toasts ---------------------------------------------------------------------------------------------------
document.body.addEventListener("toast", (event) => toastFrom(event.detail));

function showToasts(root) {
  for (const element of root.querySelectorAll("[data-toast]")) {
    const { level, undoUrl } = element.dataset;
    const message = element.dataset.toast || element.textContent.trim();
    toastFrom({ message, level: level === "debug" ? "info" : level, undo_url: undoUrl });
    element.remove();
  }
}

// --- Requests that fail are said, never swallowed -----------------------------------------------------------------
document.body.addEventListener("htmx:sendError", () => {
  toast(gettext("The server cannot be reached. Nothing was saved; try again."), { level: "error" });
});
document.body.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  const words = {
    400: gettext("That was refused."),
    403: gettext("You may not do that, or your session has ended. Reload the page."),
    404: gettext("That is not there any more."),
    409: gettext("Somebody was faster. Reload the page to see how things stand."),
  };
  let said = null;
  try {
    said = JSON.parse(xhr.responseText).detail;
  } catch {
    // not JSON: the status has to do
  }
  const failed = interpolate(gettext("The server failed (%(status)s). Try again in a moment."), { status: xhr.status });
  toast(said ?? words[xhr.status] ?? failed, { level: "error" });
});

// --- The overlay of keys ----------------------------------------------------------------------------------------
let overlay = null;

function makeOverlay() {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  dialog.setAttribute("aria-labelledby", "keys-title");
  dialog.innerHTML = `
    <div class="dialog-head"><h2 id="keys-title"></h2>
      <form method="dialog"><button class="btn btn-quiet btn-small"><span></span> <kbd>Esc</kbd></button></form></div>
    <div class="dialog-body"><dl class="keys-list"></dl>
      <label class="choice"><input type="checkbox"> <span></span></label></div>`;
  dialog.querySelector("h2").textContent = gettext("Keys on this page");
  dialog.querySelector("button span").textContent = gettext("Close");
  dialog.querySelector(".choice span").textContent = gettext("Single keys act (never while you type)");
  const enabled = dialog.querySelector("input");
  enabled.addEventListener("change", () => setKeysEnabled(enabled.checked));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  return dialog;
}

export function openKeys() {
  overlay ??= makeOverlay();
  overlay.querySelector("input").checked = keysEnabled();
  overlay.querySelector(".keys-list").replaceChildren(
    ...listKeys().map(({ key, label }) => {
      const row = document.createElement("div");
      const [term, value, kbd] = ["dt", "dd", "kbd"].map((tag) => document.createElement(tag));
      kbd.textContent = keyName(key);
      term.textContent = label;
      value.append(kbd);
      row.append(term, value);
      return row;
    }),
  );
  if (!overlay.open) overlay.showModal();
}

bindKey("?", openKeys, gettext("Show the keys"));

// --- Menus: a <details> closes on Escape and on a click elsewhere ----------------------------------------------------
document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-keys-open]")) openKeys();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// --- A wide table's frame takes the focus only while it can be scrolled ------------------------------------------------
// It is a named group and no landmark: a page of tables would be a page of landmarks, often named as their sections.
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) measure(target);
});

function measure(region) {
  region.classList.toggle("is-scrolling", region.firstElementChild?.offsetWidth > region.clientWidth + 1);
  const scrolls = region.scrollWidth > region.clientWidth + 1 || region.scrollHeight > region.clientHeight + 1;
  if (scrolls) region.tabIndex = 0;
  else region.removeAttribute("tabindex");
}

// --- Each piece of page, the first as the later ones from htmx --------------------------------------------------------------
function prepare(root) {
  showToasts(root);
  for (const element of root.querySelectorAll("[data-key]")) {
    element.setAttribute("aria-keyshortcuts", element.dataset.key);
  }
  for (const region of root.querySelectorAll(".table-wrap")) sizes.observe(region);
  const wanted = root.querySelector("[data-autofocus]");
  wanted?.removeAttribute("data-autofocus");
  wanted?.focus();
  if (root.querySelector(".math")) import("./maths.js").then(({ typeset }) => typeset(root));
  if (root.querySelector("[data-media]")) import("./media.js");
  if (root.querySelector("[data-chart]")) import("./chart.js").then(({ renderAll }) => renderAll(root));
}

prepare(document);
document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
// An element swapped for another one is gone by now; its parent holds what came.
document.body.addEventListener("htmx:afterSettle", ({ target }) => prepare(target.parentElement ?? target));
document.body.addEventListener("htmx:historyRestore", () => prepare(document));

// --- What one has unfolded stays so while its piece of page comes anew -----------------------------------------------------
const foldTitle = (fold) => fold.querySelector("summary")?.textContent.trim();

function foldName(fold) {
  const place = fold.parentElement.closest("[id]") ?? document.body;
  const alike = [...place.querySelectorAll("details")].filter((other) => foldTitle(other) === foldTitle(fold));
  return fold.id || JSON.stringify([place.id, foldTitle(fold), alike.indexOf(fold)]);
}

const unfolded = new Set(); // names of what is open in the piece that is being replaced
let foldInHand = null; // and of the one whose summary has the focus

document.body.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
  unfolded.clear();
  for (const fold of target.querySelectorAll("details[open]")) unfolded.add(foldName(fold));
  const held = document.activeElement?.closest("summary");
  foldInHand = held && target.contains(held) ? foldName(held.parentElement) : null;
});
document.body.addEventListener("htmx:afterSwap", ({ target }) => {
  for (const fold of (target.parentElement ?? target).querySelectorAll("details")) {
    const name = foldName(fold);
    if (unfolded.has(name)) fold.open = true;
    if (foldInHand === name && document.activeElement === document.body) fold.querySelector("summary").focus();
  }
});
