// The words that only one of two texts has. Needs the jsdiff script (globalThis.Diff).
import { wordsOf } from "./rate_text.js";

const WORD = /[\p{L}\p{N}\p{M}_'’]+|[^\s\p{L}\p{N}\p{M}_'’]/gu;
const WORDS_AT_MOST = 4000; // of both texts together; more than a person compares word by word

/** The ranges of those words in the elements a and b; null where the texts are too long to be compared. */
export function differences(a, b) {
  const [left, right] = [wordsOf(a, WORD), wordsOf(b, WORD)];
  if (left.length + right.length > WORDS_AT_MOST) return null;
  const texts = (words) => words.map(({ text }) => text);
  const only = { removed: left, added: right };
  const at = { removed: 0, added: 0 };
  const ranges = [];
  for (const part of globalThis.Diff.diffArrays(texts(left), texts(right))) {
    for (const side of ["removed", "added"]) {
      if (part[side === "removed" ? "added" : "removed"]) continue;
      const words = only[side].slice(at[side], (at[side] += part.value.length));
      if (part[side]) ranges.push(...words.map(({ range }) => range));
    }
  }
  return ranges;
}
