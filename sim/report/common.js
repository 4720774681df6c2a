// SPDX-License-Identifier: Apache-2.0
// What pages share: elements, numbers in words, tables, charts that follow the colour scheme and
// can be zoomed. Chart.js is a global here. Every canvas that is drawn registers in `drawn`.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
const drawn = []; // {canvas, draw()}: what is drawn anew when colours or sizes change

// Elements ------------------------------------------------------------------------------------

function element(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// A place for a chart: returns its canvas.
function figure(parent, title, caption, wide) {
  const canvas = element("canvas", { role: "img", "aria-label": title });
  parent.append(element("figure", wide ? { class: "wide" } : {}, element("h3", {}, title),
    element("div", { class: "canvas" }, canvas), element("figcaption", {}, caption || "")));
  return canvas;
}

function section(title) {
  const body = element("div");
  page.append(element("h2", {}, title), body);
  return body;
}

// |rows|: lists of cells; a number stands right. |heads| may be missing.
function table(heads, rows) {
  const cell = (tag, v) => element(tag, typeof v === "number" ? { class: "number" } : {},
    typeof v === "number" ? count(v) : String(v ?? ""));
  const body = element("tbody", {}, ...rows.map((r) =>
    element("tr", {}, ...r.map((v, i) => cell(i === 0 && !heads ? "th" : "td", v)))));
  const numeric = (i) => rows.length > 0 && typeof rows[0][i] === "number";
  const head = heads && element("thead", {}, element("tr", {}, ...heads.map((h, i) =>
    element("th", numeric(i) ? { class: "number" } : {}, h))));
  return element("div", { class: "scroll" }, element("table", {}, ...(head ? [head] : []), body));
}

// An object as pairs, with dots for what is inside; lists are left out.
function flat(object, prefix) {
  const rows = [];
  for (const [key, value] of Object.entries(object || {})) {
    const name = prefix ? prefix + "." + key : key;
    if (value !== null && typeof value === "object") {
      if (!Array.isArray(value)) rows.push(...flat(value, name));
    } else if (value !== undefined) {
      rows.push([name, value]);
    }
  }
  return rows;
}

// Numbers -------------------------------------------------------------------------------------

function short(v) {
  return Number(v.toPrecision(4)).toLocaleString("en-GB", { maximumFractionDigits: 6 });
}

function count(v) {
  return Number.isInteger(v) ? v.toLocaleString("en-GB").replace(/,/g, "\u2009") : short(v);
}

function scaled(v, units, step) {
  let i = 0;
  for (; Math.abs(v) >= step && i < units.length - 1; i++) v /= step;
  return short(v) + " " + units[i];
}

const bytes = (v) => scaled(v, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
const rate = (v) => scaled(v, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000);
const baseName = (path) => path.replace(/^.*\//, "");
const time = (ns) => (ns >= 1e9 ? short(ns / 1e9) + " s" : scaled(ns, ["ns", "us", "ms"], 1000));

// Colours -------------------------------------------------------------------------------------

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

const SERIES = ["one", "two", "three", "four", "bad", "good"];

function repaint() {
  for (const d of drawn) d.draw();
}

// Charts --------------------------------------------------------------------------------------

function axis(label, format, more) {
  const options = Object.assign({
    title: { display: Boolean(label), text: label, color: colour("soft") },
    ticks: { color: colour("soft"), maxRotation: 0 },
    grid: { color: colour("line"), borderColor: colour("line") },
  }, more);
  if (options.type === "logarithmic") {
    const round = (v) => /^[125](\.0+)?e/.test(v.toExponential());
    options.ticks.callback = (v) => (round(v) ? (format || count)(v) : "");
  } else if (format && !options.ticks.callback) {
    options.ticks.callback = (v) => format(v);
  }
  if (format === bytes && options.type !== "logarithmic") options.afterBuildTicks = binaryTicks;
  return options;
}

// Bytes are read in powers of two.
function binaryTicks(scale) {
  const step = 2 ** Math.ceil(Math.log2(Math.max(scale.max - scale.min, 1) / 7)), ticks = [];
  for (let v = Math.ceil(scale.min / step) * step; v <= scale.max; v += step) ticks.push({ value: v });
  scale.ticks = ticks;
}

// |make| returns Chart.js's configuration with the colours of the moment.
function chart(canvas, make) {
  let c = null;
  const draw = () => {
    const range = c && c.options.scales.x && [c.options.scales.x.min, c.options.scales.x.max];
    if (c) c.destroy();
    const config = make();
    config.options = Object.assign({
      animation: false, maintainAspectRatio: false, normalized: true,
      interaction: { mode: "nearest", intersect: false, axis: "x" },
    }, config.options);
    const plugins = config.options.plugins || (config.options.plugins = {});
    plugins.legend = Object.assign({
      display: config.data.datasets.length > 1,
      labels: { color: colour("ink"), boxWidth: 14, boxHeight: 2 },
    }, plugins.legend);
    if (range && config.options.scales.x.type === "linear") {
      [config.options.scales.x.min, config.options.scales.x.max] = range;
    }
    c = new Chart(canvas, config);
  };
  draw();
  drawn.push({ canvas, draw, chart: () => c });
  return () => c;
}

function series(label, points, name, more) {
  return Object.assign({
    label, data: points, borderColor: colour(name), backgroundColor: colour(name), borderWidth: 1.5,
    pointRadius: 0, pointHitRadius: 6,
  }, more);
}

// A line over time. |sets()| returns data sets of points {x: seconds, y}. All such charts of a page
// are zoomed together: drag over a part; a double click shows all.
const timeline = [];

function timeChart(canvas, end, label, format, sets) {
  const get = chart(canvas, () => ({
    type: "line",
    data: { datasets: sets() },
    options: {
      parsing: false,
      scales: { x: axis("", (v) => time(v * 1e9), { type: "linear", min: 0, max: end }),
                y: axis(label, format, { beginAtZero: true }) },
      plugins: { tooltip: { callbacks: {
        title: (items) => (items.length ? time(items[0].parsed.x * 1e9) : ""),
        label: (item) => item.dataset.label + ": " + (format || count)(item.parsed.y),
      } } },
    },
  }));
  timeline.push(get);
  zoomable(canvas, get, end);
}

function zoom(from, to) {
  for (const get of timeline) {
    Object.assign(get().options.scales.x, { min: from, max: to });
    get().update("none");
  }
}

function zoomable(canvas, get, end) {
  let from = null;
  const at = (event) => get().scales.x.getValueForPixel(
    event.clientX - canvas.getBoundingClientRect().left);
  canvas.addEventListener("pointerdown", (event) => { from = at(event); });
  canvas.addEventListener("pointerup", (event) => {
    const to = at(event);
    if (from !== null && Math.abs(to - from) > end / 1000) {
      zoom(Math.max(0, Math.min(from, to)), Math.min(end, Math.max(from, to)));
    }
    from = null;
  });
  canvas.addEventListener("dblclick", () => zoom(0, end));
}

// The frame of a page -------------------------------------------------------------------------

function figures(parent, list) {
  parent.append(element("div", { class: "figures" }, ...list.map(([value, label, kind]) =>
    element("div", { class: "figure " + (kind || "") }, element("b", {}, value),
      element("span", {}, label)))));
}

function footer(text) {
  page.append(element("footer", {}, element("p", {}, text), element("details", {},
    element("summary", {}, "Licence of the chart library"),
    element("pre", {}, document.getElementById("licence").textContent.trim()))));
}

addEventListener("resize", () => { for (const d of drawn) if (!d.chart) d.draw(); });
for (const query of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(query).addEventListener("change", repaint);
}
