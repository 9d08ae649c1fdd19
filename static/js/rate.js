// The rating page: the verdict leaves by the outbox while the next task, fetched ahead, is there at once.
import "./media.js";
import { startMarks } from "./rate_marks.js";
import { gettext, interpolate } from "./i18n.js";
import { Outbox, Unreached, post, refusal } from "./rate_outbox.js";
import { startRanking } from "./rate_ranking.js";
import { readAgain, readTask } from "./rate_reading.js";
import { startScores } from "./rate_scores.js";
import { atWork } from "./rate_session.js";
import { startSwipe } from "./rate_swipe.js";
import { typeset } from "./maths.js";
import { toast } from "./toast.js";

const place = document.getElementById("rate");
const state = document.getElementById("rate-state");
const undoButton = document.getElementById("undo");
const guidelines = document.getElementById("guidelines");
const NO_MORE = "0"; // ?then=: nothing more is wanted
const ELSEWHERE = "elsewhere"; // data-sent of a task that was judged, but not on this page

let current = place.querySelector(".rate-task");
let stop = () => {};
let shownAt = 0; // since when the task is looked at, and for how long it was before the tab was hidden
let lookedMs = 0;
let upcoming = []; // tasks fetched ahead
let fetching = false;
let early = null; // the button of a verdict that was given before it was known what an earlier page could not send
const judged = new Set(); // tasks that were judged or skipped, here or in another tab, whether or not the server knows it yet
const RESTORED_WITHIN_MS = 1000;
const ACKNOWLEDGED = `feedbackhub-judged-${place.dataset.rater}`;
const RECENT_AT_MOST = 20;
const RETRY_MS = 2000; // while a task is awaited that nothing else would bring
const tabs = new BroadcastChannel(`feedbackhub-rating-${place.dataset.rater}`); // this rater's other tabs
const made = []; // what can be undone, latest last: {entry} until the server has answered, then {url}

// --- Showing ------------------------------------------------------------------------------------------------------
const isTask = (node) => node.dataset.task !== undefined;

function nodeOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  // As the page's own: pictures and videos of a task that comes next begin to load; in a template they never would.
  return document.importNode(template.content, true).querySelector(".rate-task");
}

function newKey() {
  return crypto.randomUUID?.() ?? null; // only where the page is served securely; else the server's own key stays
}

function begin(node) {
  stop();
  current = node;
  const stops = [startRanking(node), startScores(node), startMarks(node), startSwipe(node)];
  stop = () => stops.forEach((end) => end());
  for (const element of node.querySelectorAll("[data-key]")) element.setAttribute("aria-keyshortcuts", element.dataset.key);
  const key = node.querySelector("[name=key]");
  if (key) key.value = newKey() ?? key.value;
  readTask(node);
  typeset(node).then(() => current === node && readAgain());
  shownAt = performance.now();
  lookedMs = 0;
  fetchAhead();
}

function show(node) {
  delete node.dataset.sent;
  node.classList.remove("is-sending");
  place.replaceChildren(node);
  begin(node);
  window.scrollTo({ top: 0 });
  node.querySelector("#question")?.focus({ preventScroll: true });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) lookedMs += performance.now() - shownAt;
  else shownAt = performance.now();
});

async function fetchAhead() {
  if (fetching || upcoming.length || !isTask(current)) return;
  fetching = true;
  try {
    const { html, response } = await post(`${place.dataset.ahead}?then=${current.dataset.task}`, []);
    if (response.ok) arrive(nodeOf(html));
  } catch (error) {
    if (!(error instanceof Unreached)) throw error; // the next verdict brings its task with it
  } finally {
    fetching = false;
  }
  if (current.dataset.sent === ELSEWHERE) setTimeout(fetchAhead, RETRY_MS); // nothing has come in its place yet
}

/** This task was judged in another tab, or before a reload and still waits in the outbox: it is not asked again here. */
function leave(task) {
  judged.add(task);
  upcoming = upcoming.filter((node) => node.dataset.task !== task);
  if (current.dataset.task !== task || current.dataset.sent) return;
  if (upcoming.length) show(upcoming.shift());
  else awaitNext();
}

/** The server acknowledged a task's judgment: a page that was asked for before now may still show the task. */
function acknowledged(task) {
  try {
    localStorage.setItem(ACKNOWLEDGED, JSON.stringify([...recent(), [task, Date.now()]].slice(-RECENT_AT_MOST)));
  } catch {
    // only this page knows
  }
}

function recent() {
  try {
    return JSON.parse(localStorage.getItem(ACKNOWLEDGED)) ?? [];
  } catch {
    return [];
  }
}

/** What is shown is done, and nothing is here to follow it. */
function awaitNext() {
  current.dataset.sent = ELSEWHERE;
  current.classList.add("is-sending");
  fetchAhead();
}

tabs.addEventListener("message", ({ data }) => (data.judged ? leave(data.judged) : judged.delete(data.back)));

/** A task came ahead of its time: keep it, unless it is here already. */
function arrive(node) {
  const there = [current, ...upcoming].some((other) => other.dataset.task === node?.dataset.task);
  if (judged.has(node?.dataset.task)) return; // it was asked for before it was judged
  // Nothing is left; but while something is unsent, the server may still count on it.
  if (node && !isTask(node) && current.dataset.sent === ELSEWHERE && !outbox.entries.length) return void show(node);
  if (!node || !isTask(node) || there) return;
  if (current.dataset.sent) show(node);
  else {
    upcoming.push(node);
    typeset(node); // ready when it is shown
  }
  place.dataset.waiting = upcoming.length; // how many tasks are here already
}

// --- Sending --------------------------------------------------------------------------------------------------------
const outbox = new Outbox(place.dataset.rater, {
  onAnswer(entry, { html, done }) {
    acknowledged(taskOf(entry.url));
    count(done);
    const record = made.find((one) => one.entry === entry);
    if (done.undo_url && record) Object.assign(record, { entry: null, url: done.undo_url });
    if (entry.earlier) toast("A judgment from before was saved.", { level: "success" });
    else tell(entry, done);
    const node = html ? nodeOf(html) : null;
    const isAwaited = current === entry.node && current.dataset.sent;
    if (isAwaited && (!node || judged.has(node.dataset.task))) awaitNext();
    else if (isAwaited) show(node);
    else if (node) arrive(node);
    if (entry.undone && record) undo(record);
  },
  onRestore(entry) {
    const waits = () => current.dataset.sent && !upcoming.length;
    entry.then = () => (waits() ? current.dataset.task : NO_MORE);
    leave(taskOf(entry.url));
  },
  isAwaited: () => Boolean(current.dataset.sent),
  onRefusal(entry, words) {
    const index = made.findIndex((one) => one.entry === entry);
    if (index >= 0) made.splice(index, 1);
    toast(words, { level: "error" });
    if (entry.node) putBack(entry.node);
    undoButton.disabled = !made.length;
  },
  onState({ waiting, reason }) {
    const words = {
      offline: gettext("Offline · %(waiting)s waiting, will be sent"),
      failing: gettext("The server is failing · %(waiting)s waiting, will be sent"),
      "signed-out": gettext("Signed out · %(waiting)s waiting. "),
    };
    state.dataset.level = reason ? "bad" : "";
    state.textContent = reason
      ? interpolate(words[reason], { waiting })
      : waiting ? gettext("Saving…") : made.length ? gettext("Saved") : "";
    if (reason === "signed-out") state.append(signInLink());
  },
});

/** The task that a judgment's address names. */
const taskOf = (url) => /\/(\d+)\/(?:skip\/)?$/.exec(new URL(url, location).pathname)?.[1];

function signInLink() {
  const link = document.createElement("a");
  Object.assign(link, { href: place.dataset.signIn, target: "_blank", textContent: gettext("Sign in") });
  return link;
}

let closeToast = () => {};

function tell(entry, done) {
  closeToast();
  if (done.skipped) {
    closeToast = toast(gettext("Skipped. It goes to somebody else."), { timeout: 3000 });
  } else if (!done.counted) {
    closeToast = toast(gettext("Kept as history: by the time it came, the task had all its judgments."), { level: "warning" });
  } else if (!entry.undone) {
    const action = { label: gettext("Undo"), key: "u", run: undoLast };
    closeToast = toast(gettext("Saved"), { level: "success", action, timeout: 4000 });
  }
}

function count(done) {
  const progress = document.getElementById("progress");
  progress.querySelector("strong[data-done]").textContent = done.done;
  progress.querySelector("strong[data-left]").textContent = `${done.left}${done.more ? "+" : ""}`;
  Object.assign(progress.querySelector("progress"), { max: done.done + done.left || 1, value: done.done });
}

function putBack(node) {
  judged.delete(node.dataset.task);
  tabs.postMessage({ back: node.dataset.task });
  if (current !== node && isTask(current) && !current.dataset.sent) upcoming.unshift(current);
  upcoming = upcoming.filter((other) => other !== node);
  show(node);
}

place.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const node = form.closest(".rate-task");
  if (node.dataset.sent) return; // the second click of a double click
  if (place.dataset.begun === undefined) return void (early = event.submitter);
  closeToast();
  const skips = event.submitter?.hasAttribute("formaction");
  form.elements.duration_ms.value = Math.round(lookedMs + performance.now() - shownAt);
  const unsaid = (name) => name.startsWith("correction_") && form.elements[name].value === form.elements[name].defaultValue;
  const body = [...new FormData(form, event.submitter)].filter(
    ([name]) => name !== "csrfmiddlewaretoken" && !unsaid(name),
  );
  node.dataset.sent = "yes";
  atWork();
  const url = skips ? event.submitter.formAction : form.action;
  const entry = { id: form.elements.key.value, url, body, node };
  // Asked when it leaves: the task that this answer is to bring depends on what is here by then.
  entry.then = () => (upcoming.length || !isTask(current) ? NO_MORE : current === node ? "" : current.dataset.task);
  if (!skips) made.push({ entry, url: null, node });
  undoButton.disabled = !made.length;
  if (upcoming.length) show(upcoming.shift());
  else node.classList.add("is-sending");
  outbox.push(entry);
  judged.add(node.dataset.task);
  tabs.postMessage({ judged: node.dataset.task });
});

window.addEventListener("beforeunload", (event) => {
  if (outbox.entries.length) event.preventDefault();
});

// --- Undo ---------------------------------------------------------------------------------------------------------
function undoLast() {
  const record = made.at(-1);
  if (!record) return;
  closeToast();
  if (record.url) return void undo(record);
  if (outbox.cancel(record.entry)) {
    made.pop();
    putBack(record.node);
    undoButton.disabled = !made.length;
  } else {
    record.entry.undone = true; // it may have arrived: first hear of it, then take it back
    toast(gettext("It is being sent; it will be taken back as soon as the server has it."));
  }
}

async function undo(record) {
  try {
    const { html, response, done } = await post(record.url, []);
    if (!response.ok) return void toast(refusal(html, response.status), { level: "error" });
    made.splice(made.indexOf(record), 1);
    undoButton.disabled = !made.length;
    count(done);
    closeToast();
    closeToast = toast(gettext("Taken back."), { timeout: 3000 });
    const node = nodeOf(html);
    if (isTask(node)) putBack(node);
  } catch (error) {
    if (!(error instanceof Unreached)) throw error;
    toast(gettext("The server cannot be reached; the judgment stands. Try again."), { level: "error" });
  }
}

undoButton.addEventListener("click", undoLast);

// --- Guidelines, comment --------------------------------------------------------------------------------------------
document.getElementById("guidelines-open")?.addEventListener("click", () => guidelines.showModal());
guidelines?.addEventListener("click", (event) => event.target === guidelines && guidelines.close());
// A key is in the field at once (keys.js); a click on the fold goes there when it has opened.
place.addEventListener("click", ({ target, detail }) => {
  const fold = target.closest("summary")?.parentElement;
  if (detail && fold) setTimeout(() => fold.open && fold.querySelector("textarea")?.focus());
});
place.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.matches("textarea, input")) current.querySelector("#question").focus();
});

if (current) begin(current);
// What an earlier page could not send is known in a moment; its task is not asked again, so a verdict waits until then.
// A browser whose store hangs waits no longer.
await Promise.race([outbox.restore(), new Promise((resolve) => setTimeout(resolve, RESTORED_WITHIN_MS))]);
for (const [task, at] of recent()) if (at > performance.timeOrigin) leave(task);
place.dataset.begun = "";
if (early?.isConnected) early.click();
