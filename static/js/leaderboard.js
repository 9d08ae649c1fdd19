// An open leaderboard follows the votes: a push says that one has come, the board is then asked for anew.
import { connect } from "./live.js";

const board = document.getElementById("board");
const PAUSE_MS = 700; // a burst of votes is one refresh
let timer = null;

function refresh() {
  timer = null;
  window.htmx.ajax("GET", location.href, { target: "#board", swap: "innerHTML" }).catch(() => {});
}

function soon(message) {
  timer ??= setTimeout(refresh, PAUSE_MS);
  if (message?.type === "standing") window.htmx.trigger(document.body, "standing");
}

connect(board.dataset.live, {
  onMessage: soon,
  onState: (state, { again } = {}) => again && soon(),
  indicator: document.getElementById("board-live"),
});

// What is left at its default stays out of the address.
document.querySelector("form[data-board-options]")?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value.trim()) formData.delete(name);
});
