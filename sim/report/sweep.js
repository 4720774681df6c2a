// SPDX-License-Identifier: Apache-2.0
// The report of a sweep. `data`: {spec, version, cells, status: [...], fine: [...], index: [...],
// parameters: {path: [...]}, metrics: {name: [...]}}; every list has one entry for each row.

const rows = data.index.length;
const parameters = Object.keys(data.parameters), metrics = Object.keys(data.metrics);
const completed = data.index.map((_, i) => data.status[i] === "completed");

// What values are -------------------------------------------------------------------------------

const UNITS = {
  "": [1, null], k: [2 ** 10, bytes], M: [2 ** 20, bytes], G: [2 ** 30, bytes], T: [2 ** 40, bytes],
  ns: [1, time], us: [1e3, time], ms: [1e6, time], s: [1e9, time],
  "bit/s": [1, rate], "kbit/s": [1e3, rate], "Mbit/s": [1e6, rate], "Gbit/s": [1e9, rate],
  "Tbit/s": [1e12, rate], "B/s": [8, rate], "kB/s": [8e3, rate], "MB/s": [8e6, rate], "GB/s": [8e9, rate],
};

// A parameter's value as {number, format}, or null when it is a word.
function measure(v) {
  if (typeof v === "number") return { number: v, format: null };
  const match = /^([0-9.]+)\s*(\S*)$/.exec(String(v));
  const unit = match && UNITS[match[2]];
  return unit ? { number: Number(match[1]) * unit[0], format: unit[1] } : null;
}

// Names of metrics say their unit.
function metricFormat(name) {
  if (name.endsWith("-ns") || name.startsWith("downtime-ns.")) return time;
  if (/(total-time|setup-time|downtime)$/.test(name)) return (v) => time(v * 1e6);
  if (/(bytes|transferred|remaining|\.total)$/.test(name)) return bytes;
  if (name.endsWith("mbps")) return (v) => rate(v * 1e6);
  return count;
}

// An axis is a parameter or a metric: its values as numbers (words: their place in the list).
function dimension(name) {
  if (name in data.metrics) {
    return { name, values: data.metrics[name], format: metricFormat(name), words: null };
  }
  const raw = data.parameters[name], measured = raw.map(measure);
  if (measured.every((m) => m)) {
    const formats = measured.map((m) => m.format);
    return { name, values: measured.map((m) => m.number), format: formats.find((f) => f) || count,
      words: null };
  }
  const words = [...new Set(raw.map(String))].sort();
  return { name, values: raw.map((v) => words.indexOf(String(v))), format: (i) => words[i] ?? "", words };
}

function label(name, i) {
  return name in data.parameters ? String(data.parameters[name][i])
                                 : dimension(name).format(data.metrics[name][i]);
}

// Controls --------------------------------------------------------------------------------------

function choice(parent, text, names, selected, changed) {
  const select = element("select", {}, ...names.map((n) =>
    element("option", n === selected ? { value: n, selected: "" } : { value: n }, n || "nothing")));
  select.addEventListener("change", () => changed(select.value));
  parent.append(element("label", {}, text + " ", select));
}

function prefer(names, list) {
  return list.find((n) => names.includes(n)) || names[0];
}

const DOWNTIME = ["query-migrate.downtime", "query-migrate.total-time"];
const TOTAL = ["query-migrate.total-time", "query-migrate.ram.transferred"];

// Response curves -------------------------------------------------------------------------------

function median(list) {
  const sorted = [...list].sort((a, b) => a - b), n = sorted.length;
  return n % 2 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

function number(v) {
  return typeof v === "number" ? v : typeof v === "boolean" ? Number(v) : null;
}

// Points of the rows that |keep| says, and a line through the medians of each x.
function curve(x, y, keep, text, name) {
  const points = [], groups = new Map();
  for (let i = 0; i < rows; i++) {
    const value = number(y.values[i]);
    if (!keep(i) || value === null) continue;
    points.push({ x: x.values[i], y: value, row: i });
    groups.set(x.values[i], [...(groups.get(x.values[i]) || []), value]);
  }
  const line = [...groups].map(([at, values]) => ({ x: at, y: median(values) })).sort((a, b) => a.x - b.x);
  const many = groups.size > 40;
  const sets = [series(text, points, name, { showLine: false, pointRadius: many ? 2 : 1.8,
    backgroundColor: colour(name) + "88", borderWidth: 0 })];
  if (!many) sets.push(series(text + ", median", line, name, { pointRadius: 3 }));
  return sets;
}

const MOST_LINES = SERIES.length;

function distinct(name) {
  const d = dimension(name), seen = new Map();
  d.values.forEach((v, i) => seen.set(v, label(name, i)));
  return [...seen].sort((a, b) => a[0] - b[0]);
}

function tooltip(x, y) {
  return {
    title: (items) => (items.length ? x.name + " " + x.format(items[0].parsed.x) : ""),
    label: (item) => {
      const row = item.raw.row;
      const where = row === undefined ? item.dataset.label
        : parameters.filter((p) => p !== x.name).map((p) => p + " " + label(p, row)).join(", ");
      return y.format(item.parsed.y) + (where ? "  (" + where + ")" : "");
    },
  };
}

function axes(x, y) {
  const span = Math.max(...x.values) / Math.min(...x.values.filter((v) => v > 0));
  const log = !x.words && x.values.every((v) => v > 0) && span > 20;
  const more = x.words ? { type: "linear", ticks: { stepSize: 1, color: colour("soft"), callback: x.format } }
                       : { type: log ? "logarithmic" : "linear" };
  return { x: axis(x.name, x.format, more), y: axis(y.name, y.format, { beginAtZero: true }) };
}

function response(parent, controls) {
  const state = {
    x: parameters[0] || metrics[0], y: prefer(metrics, DOWNTIME),
    by: parameters.find((p, i) => i > 0 && distinct(p).length <= MOST_LINES) || "",
  };
  const canvas = figure(parent, "Response", "A dot for each completed migration, a line through the "
    + "medians.", true);
  chart(canvas, () => {
    const x = dimension(state.x), y = dimension(state.y);
    const groups = state.by ? distinct(state.by).slice(0, MOST_LINES) : [];
    const by = state.by && dimension(state.by);
    const sets = groups.length
      ? groups.flatMap(([value, text], k) =>
        curve(x, y, (i) => completed[i] && by.values[i] === value, text, SERIES[k]))
      : curve(x, y, (i) => completed[i], state.y, "one");
    return { type: "scatter", data: { datasets: sets.map((s) => Object.assign({ showLine: true }, s)) },
      options: { interaction: { mode: "nearest", intersect: false, axis: "xy" }, scales: axes(x, y),
        plugins: { legend: { labels: { color: colour("ink"), boxWidth: 14, boxHeight: 2,
          filter: (item) => groups.length > 0 && !item.text.endsWith(", median") } },
        tooltip: { callbacks: tooltip(x, y) } } } };
  });
  const redraw = (key) => (value) => { state[key] = value; repaint(); };
  choice(controls, "Over", [...parameters, ...metrics], state.x, redraw("x"));
  choice(controls, "show", metrics, state.y, redraw("y"));
  choice(controls, "by", ["", ...parameters.filter((p) => distinct(p).length <= MOST_LINES)], state.by,
    redraw("by"));
}

// Pareto front ----------------------------------------------------------------------------------

// Rows than which no other is better in one and at least as good in the other; less is better.
function paretoFront(x, y, candidates) {
  const sorted = [...candidates].sort((a, b) => x.values[a] - x.values[b] || y.values[a] - y.values[b]);
  const front = [];
  let best = Infinity;
  for (const i of sorted) {
    if (y.values[i] < best) {
      front.push(i);
      best = y.values[i];
    }
  }
  return front;
}

function pareto(parent, controls, tablePlace) {
  const state = { x: prefer(metrics, TOTAL), y: prefer(metrics, DOWNTIME) };
  const canvas = figure(parent, "Pareto front", "Completed migrations than which no other is better in "
    + "both; less is better.", true);
  chart(canvas, () => {
    const x = dimension(state.x), y = dimension(state.y);
    const candidates = data.index.map((_, i) => i).filter((i) =>
      completed[i] && number(x.values[i]) !== null && number(y.values[i]) !== null);
    const front = paretoFront(x, y, candidates), point = (i) => ({ x: x.values[i], y: y.values[i], row: i });
    tablePlace.replaceChildren(element("figure", {}, table(
      ["cell", ...parameters, state.x, state.y],
      front.map((i) => [String(data.index[i]), ...parameters.map((p) => label(p, i)),
        x.format(x.values[i]), y.format(y.values[i])]))));
    return { type: "scatter", data: { datasets: [
      series("front", front.map(point), "two", { showLine: true, stepped: "after", pointRadius: 4 }),
      series("all", candidates.map(point), "one", { showLine: false, pointRadius: 2.5, borderWidth: 0,
        backgroundColor: colour("one") + "77" })] },
    options: { interaction: { mode: "nearest", intersect: false, axis: "xy" }, scales: axes(x, y),
      plugins: { tooltip: { callbacks: tooltip(x, y) } } } };
  });
  const redraw = (key) => (value) => { state[key] = value; repaint(); };
  choice(controls, "Little", metrics.concat(parameters), state.x, redraw("x"));
  choice(controls, "and little", metrics.concat(parameters), state.y, redraw("y"));
}

// The page --------------------------------------------------------------------------------------

function summary() {
  const counts = new Map();
  data.status.forEach((s) => counts.set(s, (counts.get(s) || 0) + 1));
  const list = [[count(rows) + (rows < data.cells ? " of " + count(data.cells) : ""), "runs"]];
  for (const [status, n] of counts) list.push([count(n), status, status === "completed" ? "good" : "bad"]);
  figures(page, list);
}

function parameterTable() {
  section("Parameters").append(element("figure", {}, table(["path", "values", "from", "to"],
    parameters.map((p) => {
      const values = distinct(p);
      return [p, values.length, values[0][1], values[values.length - 1][1]];
    }))));
}

page.append(element("h1", {}, data.name || "Sweep"),
  element("p", { class: "soft" }, "migbench " + data.version + ", spec " + data.spec));
summary();
if (rows && metrics.length) {
  const first = section("Response curves"), controls = element("div", { class: "controls" });
  first.append(controls);
  response(first, controls);
  const second = section("Pareto front"), more = element("div", { class: "controls" });
  const place = element("div");
  second.append(more);
  pareto(second, more, place);
  second.append(element("p", { class: "soft" }, ""), place);
  parameterTable();
}
footer("migbench " + data.version + ". Everything on this page is in this file.");
