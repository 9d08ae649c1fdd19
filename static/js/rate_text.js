// The words of an answer as it is shown, and where each of them stands in the answer's stored text, Markdown and all.

const MATCHED_WITHIN_MS = 1500;
const SPACELESS = String.raw`\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}`;
// Letters and digits together; one sign alone, as each character of a script that writes no spaces.
const TOKEN = new RegExp(String.raw`[${SPACELESS}]|(?:(?![${SPACELESS}])[\p{L}\p{N}\p{M}])+|[^\s\p{L}\p{N}\p{M}]`, "gu");
const HAS_LETTERS = /[\p{L}\p{N}]/u;

/** The answer's texts in order: {node, text} of its text nodes, {element, text} of its formulas with their TeX. */
function* piecesOf(parent) {
  for (const node of parent.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) yield { node, text: node.data };
    else if (node.classList?.contains("math")) yield { element: node, text: node.dataset.tex ?? node.textContent };
    else yield* piecesOf(node);
  }
}

/** [{text, range}]: what `pattern` finds in the answer as it is shown. A formula is one word. */
export function wordsOf(answer, pattern) {
  const words = [];
  for (const { node, element, text } of piecesOf(answer)) {
    if (element) words.push({ text, range: rangeAround(element) });
    else for (const found of text.matchAll(pattern)) words.push({ text: found[0], range: rangeIn(node, found) });
  }
  return words;
}

const rangeIn = (node, { 0: text, index }) =>
  new StaticRange({ startContainer: node, startOffset: index, endContainer: node, endOffset: index + text.length });

function rangeAround(element) {
  const parent = element.parentNode;
  const index = [...parent.childNodes].indexOf(element);
  return new StaticRange({ startContainer: parent, startOffset: index, endContainer: parent, endOffset: index + 1 });
}

/**
 * The tokens of an answer that are found in its stored text, in order: {text, range, from, to, isWord}; `from` and `to`
 * count UTF-16 units of `source`. What Markdown takes away (stars, addresses) is in the source alone. Null where a text
 * is too long to be matched in time.
 */
export function placedWords(answer, source) {
  const shown = [];
  for (const { node, element, text } of piecesOf(answer)) {
    const range = element && rangeAround(element);
    for (const found of text.matchAll(TOKEN)) shown.push({ text: found[0], range: range ?? rangeIn(node, found) });
  }
  const written = [...source.matchAll(TOKEN)];
  const texts = [shown.map(({ text }) => text), written.map(([text]) => text)];
  const parts = globalThis.Diff.diffArrays(...texts, { timeout: MATCHED_WITHIN_MS });
  if (!parts) return null;
  const placed = []; // a formula's tokens become one word
  let [at, there] = [0, 0];
  for (const { added, removed, value } of parts) {
    if (added) there += value.length;
    else if (removed) at += value.length;
    else {
      for (const text of value) {
        const from = written[there++].index;
        const word = { ...shown[at++], from, to: from + text.length, isWord: HAS_LETTERS.test(text) };
        const before = placed.at(-1);
        if (before?.range === word.range) Object.assign(before, { to: word.to, isWord: true });
        else placed.push(word);
      }
    }
  }
  return placed;
}

/** How many characters (code points, as the server counts) the first `units` UTF-16 units of a text are. */
export const charactersIn = (text, units) => [...text.slice(0, units)].length;

/** How many UTF-16 units the first `characters` of a text are. */
export const unitsIn = (text, characters) => [...text].slice(0, characters).join("").length;
