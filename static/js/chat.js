// A chat follows its answers: a push says that there is something new, the conversation is then asked for.
import { connect } from "./live.js";

const PAUSE_MS = 250; // several words are one refresh
const form = document.getElementById("say");
const box = form?.querySelector("textarea");
let timer = null;

const turns = () => document.getElementById("turns");
const isAtEnd = () => window.innerHeight + window.scrollY > document.body.scrollHeight - 160;

function refresh() {
  timer = null;
  window.htmx.ajax("GET", turns().dataset.url, { target: "#turns", swap: "outerHTML" }).catch(() => {});
}

const soon = () => (timer ??= setTimeout(refresh, PAUSE_MS));

connect(turns().dataset.live, {
  onMessage: soon,
  onState: (state, { again } = {}) => again && soon(),
  indicator: document.getElementById("chat-live"),
});

// Who reads the newest words keeps reading them; who has scrolled back is left there.
let follow = false;
document.body.addEventListener("htmx:beforeSwap", () => (follow = isAtEnd()));
document.body.addEventListener("htmx:afterSettle", () => follow && window.scrollTo(0, document.body.scrollHeight));

box?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

form?.addEventListener("htmx:afterRequest", ({ detail }) => {
  // Refused: what was written stays where it is.
  if (detail.elt !== form || !detail.successful || detail.xhr.getResponseHeader("HX-Reswap") === "none") return;
  box.value = "";
  window.scrollTo(0, document.body.scrollHeight);
});
