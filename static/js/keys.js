// Single-key shortcuts. Markup: <button data-key="a" data-key-label="A is better">; scripts: bindKey(). They can be
// switched off in the overlay that `?` opens (WCAG 2.1.4) and never fire while one types or with a modifier held.

import { gettext } from "./i18n.js";

const STORAGE = "feedbackhub-keys";
const TYPED_INTO = /^(?:text|search|email|url|tel|password|number|date|time|datetime-local|month|week)$/;
const NAMES = { " ": gettext("Space"), Enter: gettext("Enter"), ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: gettext("Esc") };
const bound = new Map();

/** How a key is printed: "a" → "A", "ArrowLeft" → "←". */
export const keyName = (key) => NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);

const normal = (key) => (key === "Space" ? " " : key.length === 1 ? key.toLowerCase() : key);

export function keysEnabled() {
  try {
    return localStorage.getItem(STORAGE) !== "off";
  } catch {
    return true;
  }
}

export function setKeysEnabled(on) {
  try {
    if (on) localStorage.removeItem(STORAGE);
    else localStorage.setItem(STORAGE, "off");
  } catch {
    // lasts for this page only
  }
  document.documentElement.dataset.keys = on ? "on" : "off";
}

/**
 * Bind a key to an element (clicked, or focused where it is a field) or to a function(event).
 * The latest binding of a key wins; the returned function takes it back.
 */
export function bindKey(key, target, label = "") {
  const name = normal(key);
  const entry = { key: name, target, label };
  bound.set(name, [...(bound.get(name) ?? []), entry]);
  return () => bound.set(name, (bound.get(name) ?? []).filter((other) => other !== entry));
}

/** Everything that can be pressed now, for the overlay: [{key, label}], the page's own elements first. */
export function listKeys() {
  const found = new Map();
  for (const element of document.querySelectorAll("[data-key]")) {
    const label = element.dataset.keyLabel ?? element.textContent.trim();
    for (const key of keysOf(element)) if (isThere(element) && !found.has(key)) found.set(key, label);
  }
  for (const [key, entries] of bound) {
    const label = entries.at(-1)?.label;
    if (label && !found.has(key)) found.set(key, label);
  }
  return [...found].map(([key, label]) => ({ key, label }));
}

// data-key="a ArrowLeft": several keys, one action
const keysOf = (element) => element.dataset.key.split(" ").filter(Boolean).map(normal);

const isThere = (element) => element.isConnected && !element.disabled && element.checkVisibility();

function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  return target instanceof HTMLInputElement && TYPED_INTO.test(target.type);
}

/** Does the focused control need this key for itself (Enter on a link, arrows on a radio button)? */
function isOwnKey(target, key) {
  if (!(target instanceof HTMLElement)) return false;
  if (key === "Enter" || key === " ") return target.matches("a[href], button, summary, input, video");
  return key.startsWith("Arrow") && target.matches('[type="radio"], [type="range"], [role="tab"], video, .table-wrap, .log');
}

function press(target, event) {
  if (typeof target === "function") return target(event);
  if (target.matches("input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select")) {
    return target.focus();
  }
  target.click();
  // A key that opens a fold goes on to its field at once: what is typed next is no shortcut.
  if (target.matches("details[open] > summary")) target.parentElement.querySelector("textarea, input")?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.repeat || event.isComposing || !keysEnabled()) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = normal(event.key);
  if (isTyping(event.target) || isOwnKey(event.target, key)) return;
  const dialog = document.querySelector("dialog[open]");
  const scope = dialog ?? document;
  const element = [...scope.querySelectorAll("[data-key]")].find(
    (candidate) => keysOf(candidate).includes(key) && isThere(candidate),
  );
  const entry = dialog ? undefined : bound.get(key)?.findLast(({ target }) => typeof target === "function" || isThere(target));
  const target = entry?.target ?? element;
  if (!target) return;
  event.preventDefault();
  press(target, event);
});

document.documentElement.dataset.keys = keysEnabled() ? "on" : "off";
