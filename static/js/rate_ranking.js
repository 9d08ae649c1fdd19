// A ranking: an ordered list moved by keys, buttons and drag. The selects in it say each answer's place to the form.
import { gettext, interpolate } from "./i18n.js";

/** Make the list inside `task` movable. Returns a function that takes the document's keys back. */
export function startRanking(task) {
  const list = task.querySelector("[data-ranking]");
  if (!list) return () => {};
  const said = task.querySelector("[data-ranking-said]");
  const items = () => [...list.children];
  const nameOf = (item) => item.querySelector(".rank-name").textContent;

  /** Write places, ties and the reachable buttons anew. */
  function settle() {
    let place = 0;
    items().forEach((item, index) => {
      if (index === 0) item.classList.remove("is-tied");
      const tied = item.classList.contains("is-tied");
      if (!tied) place = index + 1;
      item.querySelector("select").value = String(place);
      item.querySelector("[data-place]").textContent = String(place);
      item.querySelector("[data-tie]").setAttribute("aria-pressed", String(tied));
      item.querySelector("[data-tie]").disabled = index === 0;
      item.querySelector("[data-move=up]").disabled = index === 0;
      item.querySelector("[data-move=down]").disabled = index === list.children.length - 1;
    });
  }

  function say(item) {
    const words = item.classList.contains("is-tied")
      ? gettext("%(answer)s is at place %(place)s of %(places)s, tied with the one above.")
      : gettext("%(answer)s is at place %(place)s of %(places)s.");
    const place = items().indexOf(item) + 1;
    said.textContent = interpolate(words, { answer: nameOf(item), place, places: list.children.length });
  }

  function move(item, steps) {
    const index = items().indexOf(item) + steps;
    if (index < 0 || index >= list.children.length) return;
    item.classList.remove("is-tied");
    if (steps < 0) list.insertBefore(item, list.children[index]);
    else list.insertBefore(item, list.children[index].nextSibling);
    settle();
    say(item);
  }

  function tie(item) {
    item.classList.toggle("is-tied");
    settle();
    say(item);
  }

  function pick(item) {
    for (const other of items()) other.classList.toggle("is-picked", other === item);
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  }

  list.addEventListener("click", ({ target }) => {
    const item = target.closest(".rank-item");
    const button = target.closest("button");
    if (!button || !item) return;
    if (button.dataset.move) move(item, button.dataset.move === "up" ? -1 : 1);
    else tie(item);
    if (!button.disabled) button.focus();
    else item.focus();
  });
  list.addEventListener("focusin", ({ target }) => {
    const item = target.closest(".rank-item");
    for (const other of items()) other.classList.toggle("is-picked", other === item);
  });

  function onKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.documentElement.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("textarea, input, select")) return;
    const picked = list.querySelector(".rank-item.is-picked");
    const number = Number(event.key === "0" ? 10 : event.key);
    if (Number.isInteger(number) && number >= 1 && number <= list.children.length) pick(list.children[number - 1]);
    else if (picked && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      move(picked, event.key === "ArrowUp" ? -1 : 1);
      pick(picked);
    } else if (picked && event.key === "=") tie(picked);
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", onKey);
  const sortable = window.Sortable?.create(list, {
    animation: 120,
    handle: ".rank-handle",
    forceFallback: true, // pointer events everywhere: the browser's own drag and drop differs by browser and has no touch
    onEnd: ({ item }) => {
      item.classList.remove("is-tied");
      settle();
      say(item);
    },
  });
  settle();
  return () => {
    document.removeEventListener("keydown", onKey);
    sortable?.destroy();
  };
}
