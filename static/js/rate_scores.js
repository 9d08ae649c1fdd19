// Scores: the number keys fill the criterion that is marked and go on to the next.

/** Returns a function that takes the document's keys back. */
export function startScores(task) {
  const criteria = [...task.querySelectorAll("[data-criterion]")];
  if (!criteria.length) return () => {};
  const isOpen = (criterion) => !criterion.querySelector("input:checked");
  let next = criteria[0];

  function mark(criterion) {
    next = criterion;
    for (const other of criteria) other.classList.toggle("is-next", other === next);
  }

  for (const criterion of criteria) criterion.addEventListener("focusin", () => mark(criterion));
  task.addEventListener("change", () => mark(criteria.find(isOpen) ?? null));

  function onKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !/^\d$/.test(event.key)) return;
    if (document.documentElement.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("textarea, select, input:not([type=radio])")) return;
    const values = [...(next ?? criteria.at(-1)).querySelectorAll("input")];
    const chosen = values.find((input) => input.value === event.key) ?? (event.key === "0" ? values.find((input) => input.value === "10") : null);
    if (!chosen) return;
    event.preventDefault();
    chosen.checked = true;
    chosen.dispatchEvent(new Event("change", { bubbles: true }));
  }

  document.addEventListener("keydown", onKey);
  mark(next);
  return () => document.removeEventListener("keydown", onKey);
}
