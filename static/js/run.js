// A run's page while it runs: progress, curves, answers and log follow the pushes (docs/runs.md, "Pushes").
// While the socket is away the section is asked for anew every few seconds; with the state changes the whole page.
import { gettext, interpolate } from "./i18n.js";
import { connect } from "./live.js";
import { chartOf } from "./chart.js";

const ASK_AGAIN_MS = 5000;
const ACTIVE = new Set(["queued", "running", "stopping"]);

const section = () => document.getElementById("run");
const part = (name) => section()?.querySelector(`[data-run="${name}"]`);
const connectionShown = document.createElement("span");

let connection = null;
let refreshing = null; // a promise while a newer rendering is on its way
const waiting = []; // what was pushed meanwhile

// --- The server's rendering: the truth, whenever a push may have been missed ----------------------------------------------

function refresh(target) {
  refreshing ??= window.htmx
    .ajax("GET", location.href, { target, select: target, swap: "outerHTML" })
    .catch(() => {}) // app.js says so; the next round tries again
    .finally(() => {
      refreshing = null;
      showConnection();
      if (!ACTIVE.has(section()?.dataset.state)) connection?.close();
      waiting.splice(0).forEach(apply);
    });
  return refreshing;
}

function showConnection() {
  const place = part("connection");
  if (place) place.replaceWith(connectionShown);
}

// --- Pushes ------------------------------------------------------------------------------------------------------

function onMessage(payload) {
  if (refreshing) waiting.push(payload);
  else apply(payload);
}

function apply({ events = [], run }) {
  const shown = section();
  if (!shown) return;
  if (run.state !== shown.dataset.state || run.attempts !== Number(shown.dataset.attempts)) {
    refresh("#main");
    return;
  }
  const added = new Map(); // chart → {split: points}
  for (const event of events) {
    ({ metric: addMetric, sample: showSample, warning: showWarning })[event.type]?.(event.data, added);
    logEvent(event);
  }
  drawCurves(added);
  showProgress(run);
}

function showProgress(run) {
  part("progress").value = run.progress;
  part("phase").textContent = run.phase && gettext(run.phase);
  part("step").textContent = run.max_steps ? interpolate(gettext("step %(step)s of %(steps)s"), { step: run.step, steps: run.max_steps }) : "";
  const left = run.eta_seconds === null ? null : { time: duration(run.eta_seconds) };
  part("eta").textContent = left ? `, ${interpolate(gettext("%(time)s left"), left)}` : "";
}

/** As the filter `duration` in runs/templatetags/runs.py. */
function duration(seconds) {
  if (Math.round(seconds) < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// --- Curves ------------------------------------------------------------------------------------------------------

function addMetric({ step, split, values }, added) {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== "number") continue;
    const curve = `curve-${name}`;
    if (!added.has(curve)) added.set(curve, {});
    (added.get(curve)[split] ??= []).push([step, value]);
  }
}

function drawCurves(added) {
  for (const [curve, bySplit] of added) {
    const figure = section().querySelector(`[data-chart-source="${CSS.escape(curve)}"]`);
    if (!figure) {
      refresh("#run"); // the first of its kind: the server makes the chart
      return;
    }
    for (const [split, points] of Object.entries(bySplit)) chartOf(figure).append(split, points);
  }
}

// --- Answers, warnings, log -----------------------------------------------------------------------------------------

function showSample({ id, stage, text }) {
  const cell = section().querySelector(`[data-sample="${CSS.escape(id)}"] [data-stage="${CSS.escape(stage)}"]`);
  if (cell) cell.textContent = text || "–";
  else refresh("#run");
}

function showWarning({ message }) {
  const place = part("warnings");
  place.closest(".alert").hidden = false;
  const line = document.createElement("li");
  line.textContent = message;
  place.append(line);
}

/** The line that the training process writes into log.txt for this event (training/directory.py). */
function lineOf({ type, data }) {
  if (type === "metric") {
    const numbers = Object.entries(data.values).filter(([, value]) => typeof value === "number");
    const figures = numbers.map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`).join("  ");
    return `step ${String(data.step).padStart(5)}  ${data.split.padEnd(10)}  ${figures}`;
  }
  if (type === "warning") return `warning: ${data.message}`;
  return type === "status" ? data.message : null;
}

function logEvent(event) {
  const line = lineOf(event);
  if (!line || event.t <= Number(section().dataset.rendered)) return;
  const log = part("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const when = new Date(event.t * 1000).toISOString().slice(0, 19).replace("T", " ");
  log.append(`${log.textContent && !log.textContent.endsWith("\n") ? "\n" : ""}${when}  ${line}\n`);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// --- Start ---------------------------------------------------------------------------------------------------------

function watch(path) {
  connectionShown.className = "live";
  showConnection();
  connection = connect(path, {
    onMessage,
    // What happened between the page's rendering and the opening was pushed to nobody.
    onState: (state) => state === "open" && refresh("#run"),
    indicator: connectionShown,
  });
  setInterval(() => {
    if (ACTIVE.has(section()?.dataset.state) && connection.state() !== "open" && !document.hidden) refresh("#main");
  }, ASK_AGAIN_MS);
}

const path = section()?.dataset.socket;
if (path) watch(path);
document.addEventListener("toggle", ({ target }) => {
  const log = target.querySelector?.(":scope > [data-run=log]");
  if (log && target.open) log.scrollTop = log.scrollHeight;
}, true);
