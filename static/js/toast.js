// Short words about what has just happened, with room for one action (Undo).
import { gettext } from "./i18n.js";
import { bindKey, keyName } from "./keys.js";

const SHOWN_MS = 6000;
const SHOWN_WITH_ACTION_MS = 12000;
const AT_MOST = 4;
const ICONS = {
  success: "m5 12.5 4.5 4.5L19 7.5",
  error: "M12 4 2.8 20h18.4L12 4ZM12 10v4.5M12 17.3v.2",
  warning: "M12 4 2.8 20h18.4L12 4ZM12 10v4.5M12 17.3v.2",
  info: "M12 3a9 9 0 1 0 .01 0M12 11v5M12 7.6v.2",
};

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

function button(className, ...content) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.append(...content);
  return made;
}

/**
 * Show a message. level: success, info, warning or error (an error stays until it is dismissed).
 * action: {label, run, key?}; the key works while the toast is shown. Returns a function that takes it away.
 */
export function toast(message, { level = "info", action = null, timeout = null } = {}) {
  const region = document.getElementById("toasts");
  if (!region) return () => {};
  const element = document.createElement("div");
  element.className = "toast";
  element.dataset.level = level;
  if (level === "error") element.setAttribute("role", "alert");
  const text = document.createElement("div");
  text.className = "toast-text";
  text.textContent = message;
  element.append(icon(ICONS[level] ?? ICONS.info), text);

  let timer;
  let unbind = () => {};
  const close = () => {
    clearTimeout(timer);
    unbind();
    element.remove();
  };
  if (action) {
    const act = () => {
      close();
      action.run();
    };
    const press = button("btn btn-small", action.label);
    if (action.key) {
      const hint = document.createElement("kbd");
      hint.textContent = keyName(action.key);
      press.append(hint);
      unbind = bindKey(action.key, act, action.label);
    }
    press.addEventListener("click", act);
    element.append(press);
  }
  const dismiss = button("btn btn-quiet btn-small btn-icon", icon("M6 6l12 12M18 6 6 18"));
  dismiss.dataset.dismiss = "";
  dismiss.setAttribute("aria-label", gettext("Dismiss"));
  dismiss.addEventListener("click", close);
  element.append(dismiss);

  const shown = timeout ?? (level === "error" ? 0 : action ? SHOWN_WITH_ACTION_MS : SHOWN_MS);
  const wait = () => {
    if (shown) timer = setTimeout(close, shown);
  };
  for (const pause of ["pointerenter", "focusin"]) element.addEventListener(pause, () => clearTimeout(timer));
  for (const resume of ["pointerleave", "focusout"]) element.addEventListener(resume, wait);
  region.append(element);
  while (region.children.length > AT_MOST) region.firstElementChild.querySelector("[data-dismiss]").click();
  wait();
  return close;
}

/** What a server says: {message, level?, undo_url?, undo_label?} or only the text. The undo is a POST through htmx. */
export function toastFrom(detail) {
  const said = typeof detail === "string" ? { message: detail } : detail;
  const url = said.undo_url;
  toast(said.message ?? said.value ?? "", {
    level: said.level,
    action: url && {
      label: said.undo_label ?? gettext("Undo"),
      key: "u",
      run: () => window.htmx.ajax("POST", url, { target: said.undo_target ?? "body", swap: said.undo_swap ?? "none" }),
    },
  });
}
