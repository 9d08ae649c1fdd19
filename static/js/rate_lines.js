// Where words stand on the screen: the line above and below a word, and bringing a word into sight.

const MARGIN = 24; // pixels between the word and what covers the edges of the page

export function rectsOf({ startContainer, startOffset, endContainer, endOffset }) {
  const range = document.createRange();
  range.setStart(startContainer, startOffset);
  range.setEnd(endContainer, endOffset);
  return [...range.getClientRects()];
}

/** Index of the word on the next line (step 1) or the one before (-1) that is nearest across; `head` where none is. */
export function lineFrom(words, head, step) {
  const [here] = rectsOf(words[head].range);
  let best = null;
  for (let index = head + step; words[index]; index += step) {
    if (!words[index].isWord) continue;
    const [rect] = rectsOf(words[index].range);
    if (!rect || step * (rect.top - here.top) < here.height / 2) continue;
    if (best && Math.abs(rect.top - best.top) > here.height / 2) break;
    const across = Math.abs(rect.left - here.left);
    if (!best || across < best.across) best = { index, across, top: rect.top };
  }
  return best?.index ?? head;
}

/** Scroll `pane`, where it scrolls, and the page until the range is seen above `bottom`. */
export function reveal(range, pane, bottom) {
  const [rect] = rectsOf(range);
  if (!rect) return;
  if (pane.scrollHeight > pane.clientHeight + 1) {
    const { top, bottom: end } = pane.getBoundingClientRect();
    if (rect.top < top) pane.scrollTop -= top - rect.top + MARGIN;
    else if (rect.bottom > end) pane.scrollTop += rect.bottom - end + MARGIN;
  }
  const [seen] = rectsOf(range);
  if (seen.bottom > bottom) window.scrollBy(0, seen.bottom - bottom + MARGIN);
  else if (seen.top < MARGIN) window.scrollBy(0, seen.top - 3 * MARGIN);
}
