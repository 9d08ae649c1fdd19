// Swipes on a touch screen: sideways over the answers presses the button that stands on that side. A swipe begins
// clearly sideways (a finger that scrolls never votes), says what it would do, and does nothing until it went far enough.

const BEGINS_PX = 12;
const SIDEWAYS = 2; // times as far across as down
const ENOUGH_OF_WIDTH = 0.3;
const ENOUGH_AT_MOST_PX = 130;
const EDGE_PX = 24; // there the system's own gestures begin
const STORAGE = "feedbackhub-swiped"; // who has swiped needs no telling
const NOT_FROM = "pre, table, .math-display, textarea, input, select, button, a, summary, .rank-handle";

/** Make the task's answers swipeable. Returns a function that ends it. */
export function startSwipe(task) {
  const area = task.querySelector("[data-swipe-area]");
  const hint = task.querySelector("[data-swipe-hint]");
  if (!area || !hint) return () => {};
  let from = null; // where the finger came down, while it may still become a swipe
  let dx = null; // how far across it is, once it is one

  const button = (distance) => task.querySelector(`[data-swipe=${distance > 0 ? "right" : "left"}]`);
  const enough = () => Math.min(ENOUGH_AT_MOST_PX, innerWidth * ENOUGH_OF_WIDTH);

  function reset() {
    from = dx = null;
    hint.hidden = true;
    area.style.removeProperty("transform");
  }

  function onDown(event) {
    if (!event.isPrimary || event.pointerType !== "touch" || event.target.closest(NOT_FROM)) return reset();
    if (event.clientX < EDGE_PX || event.clientX > innerWidth - EDGE_PX) return reset();
    from = { x: event.clientX, y: event.clientY, id: event.pointerId };
  }

  function onMove(event) {
    if (!from || event.pointerId !== from.id) return;
    const [across, down] = [event.clientX - from.x, event.clientY - from.y];
    if (dx === null) {
      if (Math.hypot(across, down) < BEGINS_PX) return;
      const isMarking = "marking" in document.documentElement.dataset || !getSelection().isCollapsed;
      if (isMarking || Math.abs(across) < SIDEWAYS * Math.abs(down)) return reset();
      area.setPointerCapture(from.id);
    }
    dx = across;
    const armed = Math.abs(dx) >= enough();
    area.style.transform = `translateX(${Math.round(dx / 4)}px)`;
    hint.hidden = false;
    hint.dataset.side = dx > 0 ? "right" : "left";
    hint.toggleAttribute("data-armed", armed);
    hint.querySelector("[data-swipe-verdict]").textContent = button(dx).dataset.keyLabel;
    hint.querySelector("[data-swipe-help]").textContent = armed ? hint.dataset.letGo : hint.dataset.further;
  }

  function onUp(event) {
    if (!from || event.pointerId !== from.id) return;
    const verdict = dx !== null && Math.abs(dx) >= enough() ? button(dx) : null;
    reset();
    if (!verdict) return;
    remember();
    verdict.click();
  }

  function remember() {
    task.parentElement.dataset.swiped = "";
    try {
      localStorage.setItem(STORAGE, "yes");
    } catch {
      // told again next time
    }
  }

  try {
    task.parentElement.toggleAttribute("data-swiped", localStorage.getItem(STORAGE) !== null);
  } catch {
    // told every time
  }
  const listening = new AbortController();
  const { signal } = listening;
  area.addEventListener("pointerdown", onDown, { signal });
  area.addEventListener("pointermove", onMove, { signal });
  area.addEventListener("pointerup", onUp, { signal });
  area.addEventListener("pointercancel", reset, { signal });
  document.addEventListener("pointerdown", (event) => event.isPrimary || reset(), { signal, capture: true }); // a second finger
  return () => {
    reset();
    listening.abort();
  };
}
