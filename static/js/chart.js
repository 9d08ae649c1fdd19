// Charts: ECharts in the page's own colours, with a table twin, CSV, JSON and PNG. Markup: includes/chart.html.
import { gettext, interpolate } from "./i18n.js";
import { heightOf, OPTIONS } from "./chart_options.js";
import { csvOf, tableElement, tableOf } from "./chart_tables.js";

const charts = new Map(); // element → Chart, so that a page's script finds what app.js has drawn
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
let library = null;

// 1.1 MB: only pages that show a chart fetch it.
const loadLibrary = () => (library ??= import("../vendor/echarts/echarts.min.js").then(() => globalThis.echarts));

/** The page's colours as rgb(): a custom property may say light-dark(…), which a canvas cannot read. */
function colours(names) {
  const probe = document.createElement("span");
  document.body.append(probe);
  const found = names.map((name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return found;
}

const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);

/** Relative luminance, WCAG 2.1. */
function luminance(colour) {
  const [r, g, b] = channels(colour).map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function currentLook(width) {
  const [ink, ink2, line, grid, axis, surface, raised, low, mid, high, ...palette] = colours([
    "--ink", "--ink-2", "--line-strong", "--chart-grid", "--chart-axis", "--surface", "--surface-raised",
    "--heat-low", "--heat-mid", "--heat-high",
    ...Array.from({ length: 8 }, (_, index) => `--chart-${index + 1}`),
  ]);
  const between = (share) => {
    const [from, to, part] = share < 0.5 ? [low, mid, share * 2] : [mid, high, share * 2 - 1];
    const mixed = channels(from).map((value, index) => Math.round(value + (channels(to)[index] - value) * part));
    return `rgb(${mixed.join(", ")})`;
  };
  const inkOn = (fill) => (luminance(fill) > 0.179 ? "rgb(20, 20, 20)" : "rgb(255, 255, 255)");
  const font = getComputedStyle(document.body).fontFamily;
  return { ink, ink2, line, grid, axis, surface, raised, palette, between, inkOn, font, width, motion: !calm.matches };
}

function toolButton(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "btn btn-quiet btn-small";
  made.textContent = label;
  made.dataset.made = "";
  made.addEventListener("click", act);
  return made;
}

function download(name, url) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

function save(name, blob) {
  const url = URL.createObjectURL(blob);
  download(name, url);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

class Chart {
  constructor(element, kind, data) {
    this.element = element;
    this.kind = kind;
    this.data = data;
    this.canvas = element.querySelector(".chart-canvas") ?? element;
    this.title = element.querySelector("figcaption > :first-child")?.textContent.trim() ?? gettext("Chart");
    this.addTools();
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
    this.ready = loadLibrary().then(
      (echarts) => {
        this.echarts = echarts;
        this.canvas.replaceChildren();
        this.draw();
      },
      () => this.showTable(true), // without the library the figures are still there
    );
  }

  draw({ still = false, widest = Infinity } = {}) {
    const width = Math.min(this.canvas.clientWidth, widest);
    if (!this.echarts || !width) return; // in a closed <details>: drawn when it opens
    this.canvas.style.height = `${heightOf(this.kind, this.data, width)}px`;
    const option = OPTIONS[this.kind](this.data, currentLook(width));
    if (still || this.drawn) option.animation = false;
    this.drawing ??= this.echarts.init(this.canvas);
    this.drawing.resize({ silent: true, width });
    this.drawing.setOption(option, { notMerge: true });
    this.drawn = true;
  }

  /** Show other data. */
  update(data) {
    this.data = data;
    this.draw();
    if (this.twin && !this.twin.hidden && this.twin.dataset.made !== undefined) this.showTable(true);
  }

  /** Lines only: add points [[x, y], …] to the curve of that name, a new one if there is none. An x met again is replaced. */
  append(name, points) {
    const series = this.data.series ?? (this.data = { series: this.data }).series;
    const known = Array.isArray(series) ? series.find((line) => line.name === name) : series[name];
    const old = known ? (known.points ?? known) : [];
    const merged = [...new Map([...old, ...points].map((point) => [point[0], point])).values()].sort((a, b) => a[0] - b[0]);
    if (!Array.isArray(series)) series[name] = merged;
    else if (known) known.points = merged;
    else series.push({ name, points: merged });
    this.update(this.data);
  }

  addTools() {
    for (const old of this.element.querySelectorAll("[data-made]")) old.remove(); // from htmx's history
    const tools = this.element.querySelector(".chart-tools");
    if (!tools) return;
    const file = this.title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
    this.toggle = toolButton(gettext("Table"), () => this.showTable(this.canvas.hidden === false));
    this.toggle.setAttribute("aria-pressed", "false");
    tools.prepend(this.toggle);
    const save = (type, text) => {
      const url = URL.createObjectURL(new Blob([text()], { type }));
      download(`${file}.${type.split("/")[1]}`, url);
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    };
    if (![...tools.children].some((tool) => tool.textContent.trim() === "CSV")) {
      tools.append(toolButton("CSV", () => save("text/csv", () => csvOf(tableOf(this.kind, this.data)))));
    }
    const json = () => JSON.stringify({ chart: this.kind, title: this.title, ...this.data }, null, 1);
    tools.append(toolButton("JSON", () => save("application/json", json)));
    tools.append(toolButton("PNG", () => this.png() && download(`${file}.png`, this.png())));
  }

  /** The drawing as a data: URL, twice as fine as on the screen; null before it is drawn. */
  png() {
    const [backgroundColor] = colours(["--surface"]);
    return this.drawing?.getDataURL({ pixelRatio: 2, backgroundColor }) ?? null;
  }

  /** Table instead of drawing, or back. A page's own table ([data-twin]) is used where there is one. */
  showTable(shown) {
    const own = this.element.querySelector("[data-twin]");
    if (!own) {
      this.twin?.remove();
      this.twin = tableElement(tableOf(this.kind, this.data), interpolate(gettext("%(title)s, as a table"), { title: this.title }));
      this.twin.dataset.made = "";
      this.element.append(this.twin);
    } else this.twin = own;
    this.twin.hidden = !shown;
    this.canvas.hidden = shown;
    this.toggle?.setAttribute("aria-pressed", String(shown));
    if (!shown) this.draw();
  }

  dispose() {
    this.resized.disconnect();
    this.drawing?.dispose();
    charts.delete(this.element);
  }
}

/**
 * Draw data as kind (whiskers, lines, bars, heatmap, radar; their shapes are in chart_options.js) in element, a <figure class="chart">
 * or any block. Returns {update(data), append(name, points), png(), showTable(shown), dispose(), ready}.
 */
export function renderChart(element, kind, data) {
  if (!OPTIONS[kind]) throw new Error(`There is no chart "${kind}": take one of ${Object.keys(OPTIONS).join(", ")}.`);
  charts.get(element)?.dispose();
  const chart = new Chart(element, kind, data);
  charts.set(element, chart);
  return chart;
}

/** The chart of a figure that is drawn from its data- attributes (drawn now if it is not yet). */
export function chartOf(element) {
  const { chart: kind, chartSource: source } = element.dataset;
  return charts.get(element) ?? renderChart(element, kind, JSON.parse(document.getElementById(source).textContent));
}

/**
 * Draw every figure[data-chart] under root that is not drawn; forget those that have left the page. One that comes in the
 * place of another with the same source (a live refresh) stays a table if that one was, and does not move again.
 */
export function renderAll(root = document) {
  const gone = new Map();
  for (const [element, chart] of charts) {
    if (element.isConnected) continue;
    gone.set(element.dataset.chartSource, chart.canvas.hidden);
    chart.dispose();
  }
  for (const element of root.querySelectorAll("[data-chart][data-chart-source]")) {
    if (charts.has(element)) continue;
    const chart = chartOf(element);
    chart.drawn = gone.has(element.dataset.chartSource);
    if (gone.get(element.dataset.chartSource)) chart.showTable(true);
  }
}

const PAPER_PX = 680; // as wide as a sheet's text: print.css then fits the drawing to what there is
const redraw = (widest) => charts.forEach((chart) => chart.draw({ still: true, widest }));
document.addEventListener("themechange", () => redraw());
// Paper is white, whatever the screen is.
let screenTheme = null;
window.addEventListener("beforeprint", () => {
  const { dataset } = document.documentElement;
  screenTheme = dataset.theme ?? "";
  dataset.theme = "light";
  redraw(PAPER_PX);
});
window.addEventListener("afterprint", () => {
  const { dataset } = document.documentElement;
  if (screenTheme) dataset.theme = screenTheme;
  else delete dataset.theme;
  redraw();
});
