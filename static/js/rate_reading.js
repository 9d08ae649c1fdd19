// Helps for the eye: what differs between two answers, nothing but the task, larger text. Kept in this browser.

const STORAGE = "feedbackhub-reading";
const SIZES = ["", "l", "xl"];
const WORD = /[\p{L}\p{N}\p{M}_'’]+|[^\s\p{L}\p{N}\p{M}_'’]/gu;
const WORDS_AT_MOST = 4000; // of both answers together; more than a person compares word by word
const root = document.documentElement;
const buttons = Object.fromEntries(
  [...document.querySelectorAll("[data-reading]")].map((button) => [button.dataset.reading, button]),
);
const settings = { difference: false, focus: false, size: "", ...stored() };
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
  buttons.difference?.setAttribute("aria-pressed", String(settings.difference));
  buttons.focus?.setAttribute("aria-pressed", String(settings.focus));
  markDifferences();
}

const next = {
  difference: () => !settings.difference,
  focus: () => !settings.focus,
  size: () => SIZES[(SIZES.indexOf(settings.size) + 1) % SIZES.length],
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
  if (buttons.difference) buttons.difference.hidden = answers().length !== 2;
  markDifferences();
}

const answers = () => [...(task?.querySelectorAll("[data-answer-text]") ?? [])];

/** Mark the words that only one of two answers has. Highlights are painted; the answers' own elements stay untouched. */
function markDifferences() {
  if (!CSS.highlights) return;
  CSS.highlights.delete("difference");
  const [a, b] = answers();
  if (!settings.difference || !b) return;
  const [left, right] = [wordsOf(a), wordsOf(b)];
  if (left.length + right.length > WORDS_AT_MOST) return;
  const texts = (words) => words.map(({ text }) => text);
  const only = { removed: left, added: right };
  const at = { removed: 0, added: 0 };
  const ranges = [];
  for (const part of window.Diff.diffArrays(texts(left), texts(right))) {
    for (const side of ["removed", "added"]) {
      if (part[side === "removed" ? "added" : "removed"]) continue;
      const words = only[side].slice(at[side], (at[side] += part.value.length));
      if (part[side]) ranges.push(...words.map(({ range }) => range));
    }
  }
  CSS.highlights.set("difference", new Highlight(...ranges));
}

function wordsOf(answer) {
  const words = [];
  const texts = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    for (const { 0: text, index } of node.data.matchAll(WORD)) {
      const range = new StaticRange({
        startContainer: node,
        startOffset: index,
        endContainer: node,
        endOffset: index + text.length,
      });
      words.push({ text, range });
    }
  }
  return words;
}

apply();
