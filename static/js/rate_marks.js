// Marked passages: select text in an answer, or walk its words by keys (M), and say why. Kept in the form as spans.
import { lineFrom, rectsOf, reveal } from "./rate_lines.js";
import { charactersIn, placedWords, unitsIn } from "./rate_text.js";

const SETTLED_MS = 200; // a selection that has not changed for so long is meant
const QUOTE_AT_MOST = 60;
const PRAISE = "well_put";

/** Make the answers of `task` markable. Returns a function that ends it. */
export function startMarks(task) {
  const field = task.querySelector("[name=spans]");
  const bar = task.querySelector("[data-mark-bar]");
  const answers = [...task.querySelectorAll("[data-answer-text]")];
  if (!field || !bar || !answers.length) return () => {};
  const list = task.querySelector("[data-mark-list]");
  const start = task.querySelector("[data-mark-start]");
  const own = bar.querySelector("[data-reason-text]");
  const reasons = [...bar.querySelectorAll("[data-reason]")];
  const labels = Object.fromEntries(reasons.map((button) => [button.dataset.reason, button.dataset.label]));
  const words = new Map(); // of each answer, once it is needed
  let spans = JSON.parse(field.value || "[]");
  let chosen = null; // {answer, anchor, head}: indices of the first and the last word that would be marked
  let walking = false; // by keys
  let timer;

  const sourceOf = (answer) => JSON.parse(answer.dataset.source);
  const outputOf = (answer) => Number(answer.closest("[data-output]").dataset.output);
  const answerOf = (node) => (node?.nodeType === Node.ELEMENT_NODE ? node : node?.parentElement)?.closest("[data-answer-text]");

  function wordsIn(answer) {
    if (!words.has(answer)) words.set(answer, placedWords(answer, sourceOf(answer)) ?? []);
    return words.get(answer);
  }

  // --- What is painted and listed ---------------------------------------------------------------------------------
  function paint() {
    const ranges = { problem: [], praise: [], chosen: [] };
    for (const span of spans) {
      const answer = answers.find((one) => outputOf(one) === span.output);
      if (!answer) continue;
      const [from, to] = [span.start, span.end].map((at) => unitsIn(sourceOf(answer), at));
      const inside = wordsIn(answer).filter((word) => word.from < to && word.to > from);
      if (inside.length) ranges[span.reason === PRAISE ? "praise" : "problem"].push(rangeOf(inside));
    }
    if (chosen) ranges.chosen.push(rangeOf(chosenWords()));
    if (!globalThis.CSS.highlights) return;
    for (const [name, found] of Object.entries(ranges)) CSS.highlights.set(`mark-${name}`, new Highlight(...found));
  }

  function rangeOf(found) {
    const [{ range: first }, { range: last }] = [found[0], found.at(-1)];
    return new StaticRange({
      startContainer: first.startContainer,
      startOffset: first.startOffset,
      endContainer: last.endContainer,
      endOffset: last.endOffset,
    });
  }

  function chosenWords() {
    const [first, last] = [chosen.anchor, chosen.head].sort((one, other) => one - other);
    return wordsIn(chosen.answer).slice(first, last + 1);
  }

  const quote = (text) => `“${text.length > QUOTE_AT_MOST ? `${text.slice(0, QUOTE_AT_MOST - 1)}…` : text}”`;

  function chosenText() {
    const found = chosenWords();
    return sourceOf(chosen.answer).slice(found[0].from, found.at(-1).to);
  }

  function settle() {
    field.value = JSON.stringify(spans);
    list.hidden = !spans.length;
    list.replaceChildren(
      ...spans.map((span) => {
        const chip = document.createElement("button");
        const reason = labels[span.reason] ?? span.reason;
        const cross = Object.assign(document.createElement("span"), { textContent: "×", ariaHidden: "true" });
        Object.assign(chip, { type: "button", className: "mark-chip" });
        chip.dataset.kind = span.reason === PRAISE ? "praise" : "problem";
        chip.append(`${quote(span.text)} ${reason} `, cross);
        chip.setAttribute("aria-label", `${list.dataset.remove} ${quote(span.text)}, ${reason}`);
        chip.addEventListener("click", () => {
          remove(span);
          (list.querySelector("button") ?? start).focus();
        });
        const item = document.createElement("li");
        item.append(chip);
        return item;
      }),
    );
    paint();
  }

  // --- Choosing ------------------------------------------------------------------------------------------------------
  function choose(next) {
    chosen = next;
    bar.hidden = !chosen && !walking;
    bar.classList.toggle("is-walking", walking);
    for (const button of bar.querySelectorAll("[data-reason], [data-reason-own]")) button.disabled = !chosen;
    bar.querySelector("[data-mark-quote]").textContent = chosen ? quote(chosenText()) : bar.dataset.empty;
    paint();
  }

  function closeOwn() {
    own.hidden = true;
    own.value = "";
  }

  function end() {
    walking = false;
    closeOwn();
    delete document.documentElement.dataset.marking;
    start?.setAttribute("aria-pressed", "false");
    choose(null);
  }

  function mark(reason) {
    if (!chosen || !reason.trim()) return;
    const { answer } = chosen;
    const source = sourceOf(answer);
    const found = chosenWords();
    const [from, to] = [found[0].from, found.at(-1).to].map((at) => charactersIn(source, at));
    const span = { output: outputOf(answer), start: from, end: to, text: chosenText(), reason: reason.trim() };
    const isSame = (other) => ["output", "start", "end", "reason"].every((name) => other[name] === span[name]);
    if (!spans.some(isSame)) spans = [...spans, span];
    closeOwn();
    getSelection().removeAllRanges();
    settle();
    if (walking) choose({ answer, anchor: chosen.head, head: chosen.head });
    else end();
  }

  function remove(span) {
    spans = spans.filter((other) => other !== span);
    settle();
  }

  // --- By mouse and touch: the browser's own selection, widened to whole words ------------------------------------------
  function readSelection() {
    if (bar.contains(document.activeElement)) return;
    const selection = getSelection();
    const range = selection.rangeCount && !selection.isCollapsed ? selection.getRangeAt(0) : null;
    const answer = range && [answerOf(range.startContainer), answerOf(range.endContainer)].find((one) => answers.includes(one));
    if (!answer) return void (chosen && !walking && end());
    const found = wordsIn(answer);
    const inside = found.map((word, index) => (touches(range, word.range) ? index : -1)).filter((index) => index >= 0);
    if (inside.length) choose({ answer, anchor: inside[0], head: inside.at(-1) });
    else if (!walking) end();
  }

  function touches(range, word) {
    const ends = [word.endContainer, word.endOffset];
    const begins = [word.startContainer, word.startOffset];
    const isAt = ([node, offset], container, at) => node === container && offset === at;
    if (range.comparePoint(...ends) < 0 || isAt(ends, range.startContainer, range.startOffset)) return false;
    return range.comparePoint(...begins) <= 0 && !isAt(begins, range.endContainer, range.endOffset);
  }

  function onSelection() {
    clearTimeout(timer);
    timer = setTimeout(readSelection, SETTLED_MS);
  }

  /** While one walks, a click or tap takes a word; a second one takes all up to it. */
  function onClick(event) {
    const answer = event.target.closest("[data-answer-text]");
    if (!walking || !answer || !getSelection().isCollapsed) return;
    const index = wordsIn(answer).findIndex(({ range }) => rectsOf(range).some((rect) => holds(rect, event)));
    if (index < 0) return;
    event.preventDefault();
    choose({ answer, anchor: chosen?.answer === answer && chosen.tapped ? chosen.anchor : index, head: index, tapped: true });
  }

  const holds = (rect, { clientX, clientY }) =>
    clientX >= rect.left && clientX <= rect.right && clientY >= rect.top && clientY <= rect.bottom;

  // --- By keys ------------------------------------------------------------------------------------------------------
  function walk() {
    if (walking) return end();
    walking = true;
    document.documentElement.dataset.marking = "";
    start?.setAttribute("aria-pressed", "true");
    return chosen ? choose(chosen) : stepTo(answers[0], nextWord(answers[0], -1, 1));
  }

  function nextWord(answer, from, step) {
    const found = wordsIn(answer);
    let index = from + step;
    while (found[index] && !found[index].isWord) index += step;
    return found[index] ? index : from;
  }

  function stepTo(answer, head, extends_ = false) {
    if (!wordsIn(answer)[head]) return choose(null);
    const anchor = extends_ && chosen?.answer === answer ? chosen.anchor : head;
    choose({ answer, anchor, head });
    reveal(wordsIn(answer)[head].range, answer, task.querySelector(".verdict").getBoundingClientRect().top);
  }

  const steps = {
    ArrowRight: (answer, head) => nextWord(answer, head, 1),
    ArrowLeft: (answer, head) => nextWord(answer, head, -1),
    ArrowDown: (answer, head) => lineFrom(wordsIn(answer), head, 1),
    ArrowUp: (answer, head) => lineFrom(wordsIn(answer), head, -1),
    Home: (answer) => nextWord(answer, -1, 1),
    End: (answer) => nextWord(answer, wordsIn(answer).length, -1),
  };

  function onKey(event) {
    if (bar.hidden || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target === own) return void onOwnKey(event);
    if (event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])")) return;
    const isButton = event.target.closest?.("button, a, summary");
    if (takeKey(event.key, event.shiftKey)) stop(event);
    // No other key of the page acts while words are walked: an arrow or a letter would be a verdict.
    else if (walking && (event.key.length === 1 ? event.key !== "?" && !(isButton && event.key === " ") : event.key === "Enter" && !isButton)) stop(event);
  }

  function stop(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** Did the key do something here? */
  function takeKey(key, shift) {
    const number = /^\d$/.test(key) ? Number(key) : 0;
    if (key === "Escape" || (walking && key.toLowerCase() === "m")) {
      getSelection().removeAllRanges();
      end();
    } else if (chosen && reasons[number - 1]) mark(reasons[number - 1].dataset.reason);
    else if (chosen && number === reasons.length + 1) openOwn();
    else if (!walking) return false;
    else if (chosen && steps[key]) stepTo(chosen.answer, steps[key](chosen.answer, chosen.head), shift);
    else if (chosen && (key === "Delete" || key === "Backspace")) removeHere();
    else if (/^[a-j]$/i.test(key) && answers.length > 1) {
      const letter = key.toUpperCase();
      const answer = answers.find((one) => one.dataset.answerText === letter);
      if (answer) stepTo(answer, nextWord(answer, -1, 1));
    } else return false;
    return true;
  }

  function removeHere() {
    const { answer, head } = chosen;
    const at = charactersIn(sourceOf(answer), wordsIn(answer)[head].from);
    const here = spans.findLast((span) => span.output === outputOf(answer) && span.start <= at && at < span.end);
    if (here) remove(here);
  }

  function openOwn() {
    own.hidden = false;
    own.focus();
  }

  function onOwnKey(event) {
    if (event.key === "Enter") mark(own.value);
    else if (event.key === "Escape") closeOwn();
    else return;
    stop(event);
    task.querySelector("#question").focus({ preventScroll: true });
  }

  // --- Beginning and end -----------------------------------------------------------------------------------------------
  const listening = new AbortController();
  const { signal } = listening;
  document.addEventListener("selectionchange", onSelection, { signal });
  document.addEventListener("keydown", onKey, { signal, capture: true });
  task.addEventListener("click", onClick, { signal });
  bar.addEventListener("pointerdown", (event) => event.target !== own && event.preventDefault(), { signal }); // keeps the selection
  for (const button of reasons) button.addEventListener("click", () => mark(button.dataset.reason), { signal });
  bar.querySelector("[data-reason-own]").addEventListener("click", () => (own.hidden ? openOwn() : mark(own.value)), { signal });
  bar.querySelector("[data-mark-cancel]").addEventListener("click", () => (getSelection().removeAllRanges(), end()), { signal });
  start?.addEventListener("click", walk, { signal });
  settle();
  end();
  return () => {
    clearTimeout(timer);
    listening.abort();
    end();
    for (const name of ["problem", "praise", "chosen"]) globalThis.CSS.highlights?.delete(`mark-${name}`);
  };
}
