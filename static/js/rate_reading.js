// Helps for the eye: what differs between two answers, long answers cut or scrolled together, nothing but the task,
// larger text. Kept in this browser.
import { differences } from "./difference.js";
import { layOut } from "./rate_long.js";

const STORAGE = "feedbackhub-reading";
const SIZES = ["", "l", "xl"];
const root = document.documentElement;
const buttons = Object.fromEntries(
  [...document.querySelectorAll("[data-reading]")].map((button) => [button.dataset.reading, button]),
);
const settings = { difference: false, focus: false, size: "", together: false, whole: false, ...stored() };
let task = null;

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE)) ?? {};
  } catch {
    return {};
  }
}

function apply() {
  root.toggleAttribute("data-focus", settings.focus);
  if (settings.size) root.dataset.textSize = settings.size;
  else delete root.dataset.textSize;
  for (const [name, button] of Object.entries(buttons)) {
    if (button.hasAttribute("aria-pressed")) button.setAttribute("aria-pressed", String(settings[name]));
  }
  refresh();
}

function refresh() {
  if (!task) return;
  const { isLong } = layOut(task, settings);
  const comparing = answers().length === 2;
  for (const [name, isOf] of Object.entries({ difference: comparing, together: comparing && isLong, whole: isLong })) {
    if (buttons[name]) buttons[name].hidden = !isOf;
  }
  markDifferences();
}

const next = {
  difference: () => !settings.difference,
  focus: () => !settings.focus,
  size: () => SIZES[(SIZES.indexOf(settings.size) + 1) % SIZES.length],
  together: () => !settings.together,
  whole: () => !settings.whole,
};

for (const [name, button] of Object.entries(buttons)) {
  button.addEventListener("click", () => {
    settings[name] = next[name]();
    try {
      localStorage.setItem(STORAGE, JSON.stringify(settings));
    } catch {
      // lasts for this page only
    }
    apply();
  });
}

/** Another task is on the page. */
export function readTask(node) {
  task = node;
  refresh();
}

/** The task on the page has changed its looks: formulas were typeset, the window has another size. */
export function readAgain() {
  refresh();
}

// A cut answer has a button of its own that opens all of them, and a link in its hidden part opens them too.
document.addEventListener("click", ({ target }) => target.closest("[data-more]") && buttons.whole?.click());
document.addEventListener("focusin", ({ target }) => {
  const answer = task?.classList.contains("is-cut") && target.closest?.("[data-answer-text]");
  if (answer && target.getBoundingClientRect().bottom > answer.getBoundingClientRect().bottom) buttons.whole?.click();
});
let width = innerWidth;
window.addEventListener("resize", () => {
  if (width === innerWidth) return; // a phone's bars come and go
  width = innerWidth;
  refresh();
});

const answers = () => [...(task?.querySelectorAll("[data-answer-text]") ?? [])];

/** Mark the words that only one of two answers has. Highlights are painted; the answers' own elements stay untouched. */
function markDifferences() {
  if (!CSS.highlights) return;
  CSS.highlights.delete("difference");
  const [a, b] = answers();
  if (!settings.difference || !b) return;
  const ranges = differences(a, b);
  if (!ranges) return;
  CSS.highlights.set("difference", new Highlight(...ranges));
}

apply();
