// From our data to an ECharts option, one function a kind of chart. Pure: data, colours and width in, option out.

import { gettext, interpolate, language, ngettext } from "./i18n.js";

const grouped = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const precise = new Intl.NumberFormat(language, { maximumSignificantDigits: 4, useGrouping: false });

/** A number for people: one decimal where it is large, four significant digits where it is small. */
export function say(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Number.isInteger(value) || Math.abs(value) >= 100 ? grouped.format(value) : precise.format(value);
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`);

const moments = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

/** A moment (milliseconds since 1970) for people, in UTC. */
export const moment = (at) => `${moments.format(at)} UTC`;

/** Lines as [{name, points: [[x, y], …]}], whether they came as such or as {name: points}. */
export function seriesOf(data) {
  const series = data.series ?? data;
  return Array.isArray(series) ? series : Object.entries(series).map(([name, points]) => ({ name, points }));
}

/** A bar's value as {value, lower, upper, n}, whether it came as such or as a number. */
export const measured = (value) => (value !== null && typeof value === "object" ? value : { value });

const LETTER = 6.6; // pixels, of the 12 px that charts are written in

/** A name that fits into so many pixels: cut in the middle, for models of one family differ at their ends. */
export function fitted(name, width) {
  const most = Math.max(6, Math.floor(width / LETTER));
  const letters = Array.from(String(name));
  if (letters.length <= most) return String(name);
  const head = Math.floor((most - 1) / 3);
  return `${letters.slice(0, head).join("")}…${letters.slice(letters.length - (most - 1 - head)).join("")}`;
}

/** The same on two lines where it takes two: "MODEL wrote more" keeps its end and its model's. */
function inTwoLines(name, width) {
  const space = name.lastIndexOf(" ", name.length - 5);
  if (name.length * LETTER <= width || space < 1) return fitted(name, width);
  const before = name.lastIndexOf(" ", space - 1);
  const at = before > 0 && (name.length - before) * LETTER <= width ? before : space;
  return `${fitted(name.slice(0, at), width)}\n${fitted(name.slice(at + 1), width)}`;
}

function shared(look) {
  return {
    animation: look.motion,
    animationDuration: 250,
    color: look.palette,
    textStyle: { fontFamily: look.font, fontSize: 12, color: look.ink2 },
    tooltip: {
      renderMode: "richText",
      confine: true,
      backgroundColor: look.raised,
      borderColor: look.line,
      borderWidth: 1,
      padding: [8, 12],
      textStyle: { fontFamily: look.font, fontSize: 12, color: look.ink, lineHeight: 18 },
    },
  };
}

function valueAxis(look, name) {
  return {
    type: "value",
    scale: true,
    name,
    nameLocation: "middle",
    nameGap: 28,
    nameTextStyle: { color: look.ink2 },
    axisLabel: { color: look.ink2, formatter: say, hideOverlap: true },
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: look.grid } },
  };
}

function categoryAxis(look, names, width) {
  return {
    type: "category",
    data: names,
    axisLabel: { color: look.ink, formatter: (name) => fitted(name, width), interval: 0 },
    axisLine: { lineStyle: { color: look.axis } },
    axisTick: { show: false },
  };
}

function legend(look, names) {
  return {
    show: names.length > 1,
    data: names,
    type: "scroll",
    left: 0,
    top: 0,
    itemWidth: 16,
    itemHeight: 12, // of less, a list that scrolls cuts its words
    formatter: (name) => fitted(name, Math.max(120, Math.min(260, look.width / Math.min(names.length, 2) - 75))),
    textStyle: { color: look.ink2, lineHeight: 16 },
    pageTextStyle: { color: look.ink2 },
    pageIconColor: look.ink2,
    pageIconInactiveColor: look.grid,
    inactiveColor: look.axis,
  };
}

function interval(lower, upper) {
  if (lower === null || lower === undefined) return "";
  return `\n${interpolate(gettext("95 %: %(lower)s to %(upper)s"), { lower: say(lower), upper: say(upper) })}`;
}

const votesSaid = (n) => interpolate(ngettext("%(n)s vote", "%(n)s votes", n), { n: say(n) });

/** An interval as a line with two caps. at: where on the category axis, in pixels; across: true when it lies. */
function whisker(from, to, at, across, style) {
  const cap = 4;
  const line = (x1, y1, x2, y2) => ({
    type: "line",
    shape: across ? { x1, y1, x2, y2 } : { x1: y1, y1: x1, x2: y2, y2: x2 },
    style,
  });
  return {
    type: "group",
    children: [line(from, at, to, at), line(from, at - cap, from, at + cap), line(to, at - cap, to, at + cap)],
  };
}

/** {rows: [{name, rating, lower, upper, votes}], x?, range?: [from, to], middle?}: ratings with their intervals, the first
 *  row on top; middle: where neither side is ahead. */
export function whiskers(data, look) {
  const { rows } = data;
  const colour = look.palette[0];
  const labels = Math.min(240, Math.round(look.width * 0.34));
  const withInterval = rows.flatMap(({ lower, upper }, index) =>
    lower === null || lower === undefined ? [] : [[index, lower, upper]],
  );
  return {
    ...shared(look),
    grid: { left: 8, right: 16, top: 8, bottom: 26, containLabel: true },
    tooltip: {
      ...shared(look).tooltip,
      formatter: ({ dataIndex }) => {
        const { name, rating, lower, upper, votes } = rows[dataIndex];
        return `${name}\n${say(rating)}${interval(lower, upper)}${votes === undefined ? "" : `\n${votesSaid(votes)}`}`;
      },
    },
    xAxis: {
      ...valueAxis(look, data.x ?? gettext("Rating")),
      boundaryGap: ["4%", "4%"],
      ...(data.range ? { min: data.range[0], max: data.range[1] } : {}),
    },
    yAxis: {
      ...categoryAxis(look, rows.map(({ name }) => name), labels),
      axisLabel: { color: look.ink, formatter: (name) => inTwoLines(name, labels), lineHeight: 14, interval: 0 },
      inverse: true,
    },
    series: [
      {
        type: "custom",
        silent: true,
        data: withInterval,
        encode: { y: 0, x: [1, 2] },
        renderItem: (params, api) => {
          const [from, at] = api.coord([api.value(1), api.value(0)]);
          const [to] = api.coord([api.value(2), api.value(0)]);
          return whisker(from, to, at, true, { stroke: colour, lineWidth: 1.75 });
        },
      },
      {
        type: "scatter",
        z: 3,
        symbolSize: 10,
        itemStyle: { color: colour, opacity: 1, borderColor: look.surface, borderWidth: 2 },
        data: rows.map(({ rating }, index) => [rating, index]),
        ...(data.middle === undefined ? {} : { markLine: middleLine(look, data.middle) }),
      },
    ],
  };
}

const middleLine = (look, at) => ({
  silent: true,
  symbol: "none",
  label: { show: false },
  lineStyle: { color: look.ink2, type: [5, 4], width: 1 },
  data: [{ xAxis: at }],
});

const DASHES = ["solid", [7, 4], [2, 3], [10, 3, 2, 3]];

/** {series: {name: [[x, y, lower?, upper?, what?], …]} or [{name, points}], x?, y?, time?, ticks?}: curves over a shared x
 *  axis; time: x are moments; what: a point's own name; ticks: names of x = 0, 1, …  */
export function lines(data, look) {
  const series = seriesOf(data);
  const names = series.map(({ name }) => name);
  return {
    ...shared(look),
    legend: legend(look, names),
    grid: { left: data.y ? 26 : 8, right: 16, top: names.length > 1 ? 36 : 12, bottom: 26, containLabel: true },
    tooltip: {
      ...shared(look).tooltip,
      trigger: "axis",
      axisPointer: { lineStyle: { color: look.axis } },
      formatter: (points) =>
        [data.time ? moment(points[0].value[0]) : `${data.x ?? gettext("step")} ${say(points[0].value[0])}`]
          .concat(points.map(({ seriesName, value: [, y, lower, upper, what] }) => `${what ?? seriesName}: ${say(y)}${interval(lower, upper)}`))
          .join("\n"),
    },
    useUTC: true,
    xAxis: {
      ...valueAxis(look, data.x ?? gettext("step")),
      ...(data.time ? { type: "time", axisLabel: { color: look.ink2, hideOverlap: true } } : {}),
      scale: false,
      min: "dataMin",
      max: "dataMax",
      ...(data.ticks ? ticks(look, data.ticks) : {}),
      splitLine: { show: false },
      axisLine: { show: true, onZero: false, lineStyle: { color: look.axis } },
    },
    yAxis: { ...valueAxis(look, data.y), nameGap: 48 },
    series: series.map(({ name, points }, index) => ({
      name,
      type: "line",
      data: points,
      // Few points are seen as points: a curve of one would be nothing at all.
      showSymbol: points.length < 30,
      symbol: ["circle", "rect", "triangle", "diamond"][index % 4],
      symbolSize: 6,
      lineStyle: { width: 2, type: DASHES[Math.floor(index / 2) % DASHES.length] },
      emphasis: { focus: "series" },
    })).concat(series.map(({ points }, index) => uncertain(look.palette[index % look.palette.length], points))),
  };
}

/** The x axis of single steps, each with its name. */
const ticks = (look, names) => ({
  name: "",
  min: -0.5,
  max: names.length - 0.5,
  interval: 0.5, // from −½ on, every other one is a whole number
  axisTick: { show: false },
  axisLabel: {
    color: look.ink,
    hideOverlap: false,
    formatter: (at) => (Number.isInteger(at) ? fitted(names[at] ?? "", (look.width - 90) / names.length - 12) : ""),
  },
});

/** The intervals of a line's points that have one. */
const uncertain = (colour, points) => ({
  type: "custom",
  silent: true,
  tooltip: { show: false },
  data: points.filter((point) => point[2] !== undefined && point[2] !== null).map(([x, , lower, upper]) => [x, lower, upper]),
  encode: { x: 0, y: [1, 2] },
  renderItem: (params, api) => {
    const [at, from] = api.coord([api.value(0), api.value(1)]);
    const [, to] = api.coord([api.value(0), api.value(2)]);
    return whisker(from, to, at, false, { stroke: colour, lineWidth: 1.5 });
  },
});

/** {groups: [name, …], series: [{name, values: [number | {value, lower, upper, n} | null]}], y?}: bars with intervals. */
export function bars(data, look) {
  const names = data.series.map(({ name }) => name);
  const layout = { barGap: "12%", barCategoryGap: "34%", barMaxWidth: 46 };
  const intervals = data.series.map(({ values }, which) => ({
    type: "custom",
    silent: true,
    z: 5,
    tooltip: { show: false },
    data: values.flatMap((value, index) => {
      const { lower, upper } = measured(value);
      return lower === null || lower === undefined ? [] : [[index, lower, upper]];
    }),
    encode: { x: 0, y: [1, 2] },
    renderItem: (params, api) => {
      const place = api.barLayout({ ...layout, count: names.length })[which];
      const [middle, from] = api.coord([api.value(0), api.value(1)]);
      const [, to] = api.coord([api.value(0), api.value(2)]);
      return whisker(from, to, middle + place.offsetCenter, false, { stroke: look.ink, lineWidth: 1.5 });
    },
  }));
  return {
    ...shared(look),
    legend: legend(look, names),
    grid: { left: data.y ? 26 : 8, right: 8, top: names.length > 1 ? 36 : 12, bottom: 8, containLabel: true },
    tooltip: {
      ...shared(look).tooltip,
      formatter: ({ seriesIndex, dataIndex }) => {
        const { value, lower, upper, n } = measured(data.series[seriesIndex].values[dataIndex]);
        const count = n === null || n === undefined ? "" : `\nn = ${say(n)}`;
        return `${data.groups[dataIndex]}, ${names[seriesIndex]}\n${say(value)}${interval(lower, upper)}${count}`;
      },
    },
    xAxis: groupAxis(look, data.groups),
    yAxis: { ...valueAxis(look, data.y), scale: false, nameGap: 40 },
    series: data.series
      .map(({ name, values }) => ({
        name,
        type: "bar",
        ...layout,
        itemStyle: { borderRadius: [3, 3, 0, 0] },
        data: values.map((value) => measured(value).value ?? null),
      }))
      .concat(intervals),
  };
}

/** Groups of bars: their names stand aslant where they would run into each other. */
function groupAxis(look, groups) {
  const slot = Math.round((look.width - 50) / groups.length) - 8;
  const aslant = slot < 44 || groups.some((name) => name.length * LETTER > slot * 2.2);
  const axis = categoryAxis(look, groups, aslant ? 110 : Math.max(40, slot));
  return aslant ? { ...axis, axisLabel: { ...axis.axisLabel, rotate: 40 } } : axis;
}

const NARROWEST_LABELLED_CELL = 34;

/** {names, values: [[0…1 | null]], votes?}: the row against the column; ½ is neutral, the ends are two colours. */
export function heatmap(data, look) {
  const { names, values, votes } = data;
  const labels = Math.min(180, Math.round(look.width * 0.28));
  const cell = (look.width - labels - 24) / names.length;
  const labelled = cell >= NARROWEST_LABELLED_CELL;
  const cells = values.flatMap((row, i) =>
    row.map((value, j) => {
      const fill = value === null || value === undefined ? look.surface : look.between(value);
      return { value: [j, i, value ?? "-"], itemStyle: { color: fill }, label: { color: look.inkOn(fill) } };
    }),
  );
  return {
    ...shared(look),
    grid: { left: 8, right: 8, top: 8, bottom: 8, containLabel: true },
    tooltip: {
      ...shared(look).tooltip,
      formatter: ({ value: [j, i] }) => {
        if (i === j) return names[i];
        const met = votes?.[i]?.[j];
        if (values[i][j] === null) return `${names[i]} · ${names[j]}\n${gettext("have not met")}`;
        const share = percent(values[i][j]);
        const won = met === undefined ? share : interpolate(gettext("%(share)s of %(votes)s"), { share, votes: votesSaid(met) });
        return `${names[i]}\n${interpolate(gettext("against %(name)s"), { name: names[j] })}\n${won}`;
      },
    },
    xAxis: {
      ...categoryAxis(look, names, 110),
      position: "top",
      axisLine: { show: false },
      axisLabel: {
        color: look.ink,
        formatter: (name) => fitted(name, cell < 110 ? 110 : Math.min(cell - 8, 150)),
        interval: 0,
        rotate: cell < 110 ? 40 : 0,
      },
    },
    yAxis: { ...categoryAxis(look, names, labels), inverse: true, axisLine: { show: false } },
    series: [
      {
        type: "heatmap",
        progressive: 0, // in parts, a redraw before the last one would leave rows blank
        data: cells,
        itemStyle: { borderColor: look.surface, borderWidth: 2, borderRadius: 3 },
        label: {
          show: labelled,
          fontSize: 12,
          formatter: ({ value: [j, i, value] }) => (i === j || value === "-" ? "" : String(Math.round(value * 100))),
        },
      },
    ],
  };
}

/** {axes: [name, …], series: [{name, values: [0…1], raw: [number]}]}: several models' shapes over the same axes. */
export function radar(data, look) {
  const names = data.series.map(({ name }) => name);
  return {
    ...shared(look),
    legend: legend(look, names),
    tooltip: {
      ...shared(look).tooltip,
      formatter: ({ dataIndex }) => {
        const { name, values, raw } = data.series[dataIndex];
        return [name, ...data.axes.map((axis, at) => `${axis}: ${say(raw[at])} (${percent(values[at])})`)].join("\n");
      },
    },
    radar: {
      indicator: data.axes.map((name) => ({ name, min: 0, max: 1 })),
      radius: look.width < 520 ? "50%" : "72%",
      center: ["50%", "55%"],
      splitNumber: 4,
      axisName: { color: look.ink, formatter: (name) => fitted(name, look.width < 520 ? 60 : 200) },
      axisLine: { lineStyle: { color: look.grid } },
      splitLine: { lineStyle: { color: look.grid } },
      splitArea: { show: false },
    },
    series: [
      {
        type: "radar",
        data: data.series.map(({ name, values }, index) => ({
          name,
          value: values,
          symbol: ["circle", "rect", "triangle", "diamond"][index % 4],
          symbolSize: 7,
          lineStyle: { width: 2, type: DASHES[Math.floor(index / 2) % DASHES.length] },
        })),
      },
    ],
  };
}

export const OPTIONS = { whiskers, lines, bars, heatmap, radar };

/** Height in pixels that a chart of this kind needs. */
export function heightOf(kind, data, width) {
  if (kind === "whiskers") return Math.max(150, data.rows.length * (data.rows.length > 40 ? 22 : 30) + 60);
  if (kind === "heatmap") {
    const cell = Math.min(44, Math.max(24, (width * 0.7) / data.names.length));
    return Math.round(Math.max(170, data.names.length * cell + 96));
  }
  return kind === "radar" ? Math.min(420, Math.max(260, width)) : 300;
}
