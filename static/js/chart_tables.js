// A chart's twin: the same figures as a table and as CSV.
import { gettext, language } from "./i18n.js";
import { measured, moment, percent, seriesOf } from "./chart_options.js";

const plain = (value) => ({ text: value ?? "–", value: value ?? "" });
const figure = (value) => ({ value: value ?? "", num: true });
const share = (value) => ({ text: percent(value), value: value ?? "", num: true });

/** {head: [{text, num?}], rows: [[{text, value, num?}]]}: text for people, value unrounded for the CSV. */
export function tableOf(kind, data) {
  const [head, rows] = TABLES[kind](data);
  head.forEach((_, column) => sayColumn(rows.map((row) => row[column]).filter((cell) => cell.text === undefined)));
  return { head: head.map((text, index) => ({ text, num: Boolean(rows[0]?.[index]?.num) })), rows };
}

/** Give the numbers of a column as many decimals as the largest of them needs, so that the points stand under each other. */
function sayColumn(cells) {
  const numbers = cells.map(({ value }) => value).filter((value) => value !== "");
  const largest = Math.max(...numbers.map(Math.abs));
  const decimals = numbers.every(Number.isInteger) ? 0 : Math.min(4, Math.max(1, 3 - Math.floor(Math.log10(largest || 1))));
  const format = new Intl.NumberFormat(language, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  for (const cell of cells) cell.text = cell.value === "" ? "–" : format.format(cell.value);
}

const TABLES = {
  whiskers: ({ rows, name, x }) => [
    [name ?? gettext("Model"), x ?? gettext("Rating"), gettext("Lower"), gettext("Upper"), gettext("Votes")],
    rows.map((row) => [plain(row.name), ...["rating", "lower", "upper", "votes"].map((key) => figure(row[key]))]),
  ],
  lines: (data) => {
    const series = seriesOf(data);
    if (series.some(({ points }) => points.some((point) => point[2] !== undefined))) return stepsTable(data, series);
    const at = new Map();
    series.forEach(({ points }, index) => {
      for (const [x, y] of points) {
        if (!at.has(x)) at.set(x, Array(series.length).fill(null));
        at.get(x)[index] = y;
      }
    });
    return [
      [data.x ?? gettext("step"), ...series.map(({ name }) => name)],
      [...at]
        .sort(([a], [b]) => a - b)
        .map(([x, values]) => [
          data.time ? { text: moment(x), value: new Date(x).toISOString() } : figure(x),
          ...values.map(figure),
        ]),
    ];
  },
  bars: ({ groups, series }) => [
    [gettext("Group"), gettext("Series"), gettext("Value"), gettext("Lower"), gettext("Upper"), "n"],
    groups.flatMap((group, index) =>
      series.map(({ name, values }) => {
        const { value, lower, upper, n } = measured(values[index]);
        return [plain(group), plain(name), ...[value, lower, upper, n].map(figure)];
      }),
    ),
  ],
  radar: ({ axes, series }) => [
    ["", ...series.map(({ name }) => name)],
    axes.map((axis, at) => [plain(axis), ...series.map(({ raw }) => figure(raw[at]))]),
  ],
  heatmap: ({ names, values, votes }) => [
    [gettext("Model"), gettext("Against"), gettext("Won"), gettext("Votes")],
    names.flatMap((row, i) =>
      names.flatMap((column, j) =>
        i === j || values[i][j] === null ? [] : [[plain(row), plain(column), share(values[i][j]), figure(votes?.[i]?.[j])]],
      ),
    ),
  ],
};

/** Of lines whose points have an interval and a name of their own: a row a point. */
function stepsTable(data, series) {
  const rows = series.flatMap(({ name, points }) =>
    points.map(([x, y, lower, upper, what]) => [plain(what ?? name), ...[x, y, lower, upper].map(figure)]),
  );
  return [[gettext("Model"), data.x, data.y ?? gettext("Value"), gettext("Lower"), gettext("Upper")], rows];
}

export function tableElement({ head, rows }, label) {
  const make = (tag, { text = "", num = false }, attributes = {}) => {
    const cell = document.createElement(tag);
    cell.textContent = text;
    if (num) cell.className = "num";
    for (const [name, value] of Object.entries(attributes)) cell.setAttribute(name, value);
    return cell;
  };
  const table = document.createElement("table");
  table.className = "table";
  table.createTHead().insertRow().append(...head.map((cell) => make("th", cell, { scope: "col" })));
  const body = table.createTBody();
  for (const [first, ...rest] of rows) {
    body.insertRow().append(make("th", first, { scope: "row" }), ...rest.map((cell) => make("td", cell)));
  }
  const wrap = document.createElement("div");
  wrap.className = "table-wrap is-tall";
  wrap.tabIndex = 0;
  wrap.setAttribute("role", "group");
  wrap.setAttribute("aria-label", label);
  wrap.append(table);
  return wrap;
}

/** CSV by RFC 4180. A name that a spreadsheet would run as a formula gets a quote before it. */
export function csvOf({ head, rows }) {
  const cell = (value) => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head.map(({ text }) => cell(text)), ...rows.map((row) => row.map(({ value }) => cell(value)))]
    .map((line) => `${line.join(",")}\r\n`)
    .join("");
}
