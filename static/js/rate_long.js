// Long answers: all cut at one height with a word on how much more there is, or, two of them, scrolled together.

const CUT_AT_LEAST = 320; // pixels
const CUT_OF_WINDOW = 0.55;
const WORTH_CUTTING = 1.3; // an answer this much longer than the cut
let listening = new AbortController();

const bodiesOf = (task) => [...task.querySelectorAll("[data-answer-text]")];

/** Show the task's answers as `settings` ({together, whole}) wish. Returns {isLong}: one of them is worth cutting. */
export function layOut(task, { together, whole }) {
  const bodies = bodiesOf(task);
  listening.abort();
  listening = new AbortController();
  task.classList.remove("is-cut", "is-together");
  for (const more of task.querySelectorAll("[data-more]")) more.remove();
  const cut = Math.max(CUT_AT_LEAST, Math.round(innerHeight * CUT_OF_WINDOW));
  const heights = bodies.map((body) => body.scrollHeight);
  const isLong = Math.max(0, ...heights) > cut * WORTH_CUTTING;
  const side = isLong && together && bodies.length === 2;
  for (const body of bodies) setPane(body, side);
  if (side) scrollTogether(task, bodies);
  else if (isLong && !whole) cutEvenly(task, bodies, heights, cut);
  return { isLong };
}

function cutEvenly(task, bodies, heights, cut) {
  task.style.setProperty("--cut", `${cut}px`);
  task.classList.add("is-cut");
  const label = task.querySelector("[data-more-label]")?.content.firstElementChild;
  bodies.forEach((body, index) => {
    if (heights[index] <= cut || !label) return;
    const more = label.cloneNode(true);
    const words = JSON.parse(body.dataset.source).split(/\s+/).length;
    more.querySelector("[data-more-words]").textContent = Math.max(1, Math.round(words * (1 - cut / heights[index])));
    body.after(more);
  });
}

function setPane(body, isPane) {
  for (const name of ["tabindex", "role", "aria-labelledby"]) body.removeAttribute(name);
  if (!isPane) return;
  body.tabIndex = 0; // what scrolls must be reachable by keyboard
  body.setAttribute("role", "region");
  body.setAttribute("aria-labelledby", body.closest("[aria-labelledby]").getAttribute("aria-labelledby"));
}

/** Both panes stand at the same share of their way: two answers of different lengths begin and end together. */
function scrollTogether(task, bodies) {
  task.classList.add("is-together");
  const expected = new Map(); // where a pane was put by the other: that scroll event is not the rater's
  bodies.forEach((body, index) => {
    const other = bodies[1 - index];
    const follow = () => {
      if (Math.abs((expected.get(body) ?? -9) - body.scrollTop) < 2) return void expected.delete(body);
      const way = body.scrollHeight - body.clientHeight;
      const top = Math.round((way ? body.scrollTop / way : 0) * (other.scrollHeight - other.clientHeight));
      if (Math.abs(other.scrollTop - top) < 1) return;
      expected.set(other, top);
      other.scrollTop = top;
    };
    body.addEventListener("scroll", follow, { passive: true, signal: listening.signal });
  });
}
