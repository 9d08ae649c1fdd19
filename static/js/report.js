// A report: printed by a button, and what differs between two answers is marked in each example that is opened.
import { differences } from "./difference.js";

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => {
    button.closest("details")?.removeAttribute("open");
    window.print();
  });
}

const shown = new Map(); // example → the ranges of its differences

function mark() {
  if (!globalThis.CSS?.highlights) return;
  const ranges = [...shown.values()].flat();
  if (ranges.length) CSS.highlights.set("difference", new Highlight(...ranges));
  else CSS.highlights.delete("difference");
}

for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("toggle", () => {
    const [a, b] = example.querySelectorAll("[data-side]");
    if (example.open && b && globalThis.Diff) shown.set(example, differences(a, b) ?? []);
    else shown.delete(example);
    mark();
  });
}

// On paper every example is open.
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("[data-example]:not([open])")];
  for (const example of closed) example.open = true;
});
window.addEventListener("afterprint", () => {
  for (const example of closed) example.open = false;
});
