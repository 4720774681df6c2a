// SPDX-License-Identifier: Apache-2.0
// The report of one migration: `data` is a result (schema migbench-result-1).

const query = data["query-migrate"] || {}, ram = query.ram || {}, samples = data.samples;
const passes = data.passes || [], events = data.events || [];
const endNs = data["end-ns"] || 0, end = Math.max(endNs / 1e9, 1e-6);

function seconds(ns) {
  return ns / 1e9;
}

function column(name) {
  return samples["time-ns"].map((ns, i) => ({ x: seconds(ns), y: samples[name][i] }));
}


// Head ----------------------------------------------------------------------------------------

function head() {
  page.append(element("h1", {}, baseName(data.scenario || "Migration")),
    element("p", { class: "soft" }, data.description || ""));
  const fine = query.status === "completed" && !data["x-outcome"];
  const list = [[data["x-outcome"] ? query.status + " (" + data["x-outcome"] + ")" : query.status || "none",
    "status", fine ? "good" : "bad"]];
  if (query["total-time"] !== undefined) list.push([time(query["total-time"] * 1e6), "total time"]);
  if (query.downtime !== undefined) list.push([time(query.downtime * 1e6), "downtime"]);
  if (ram.transferred !== undefined) list.push([bytes(ram.transferred), "transferred"]);
  if (passes.length) list.push([String(passes.length), passes.length === 1 ? "sync" : "syncs"]);
  if (data.destination && data.destination.memory) {
    list.push([data.destination.memory, "destination's memory",
      data.destination.memory === "equal" ? "good" : ""]);
  }
  figures(page, list);
  const why = query["error-desc"] || data["x-refused"];
  if (why) page.append(element("p", {}, why));
}

// Over time -----------------------------------------------------------------------------------

function marks() {
  return passes.map((p) => ({ x: seconds(p["time-ns"]), y: p.remaining }));
}

function remaining(parent) {
  timeChart(figure(parent, "Remaining", "What was still to be sent; a dot at each sync of the dirty "
    + "bitmap. Drag to look closer, double click to see all."), end, "", bytes, () => [
    series("remaining", samples ? column("remaining") : marks(), "one", { fill: false }),
    series("after a sync", marks(), "two", { showLine: false, pointRadius: 2.5 }),
  ]);
}

// Over how long it is averaged, ns: QEMU's 100 ms, or less of a short run. Below that socket buffers
// that fill at once would look like bandwidth.
const averaged = Math.max(samples ? samples["period-ns"] : 0, Math.min(1e8, endNs / 10));

// Bits per second over windows of that length.
function bandwidthPoints() {
  const t = samples["time-ns"], sent = samples.transferred, points = [];
  for (let i = 1, from = 0; i < t.length; i++) {
    if (t[i] - t[from] >= averaged) {
      points.push({ x: seconds(t[i]), y: Math.max(0, (sent[i] - sent[from]) * 8e9 / (t[i] - t[from])) });
      from = i;
    }
  }
  return points;
}

function bandwidth(parent) {
  const syncs = passes.filter((p) => p.mbps > 0)
    .map((p) => ({ x: seconds(p["time-ns"]), y: p.mbps * 1e6 }));
  timeChart(figure(parent, "Bandwidth", "Averaged over " + time(averaged) + ", and what query-migrate "
    + "(mbps) said at the syncs."),
    end, "", rate, () => [
      series("sent", bandwidthPoints(), "three", { stepped: "after" }),
      series("mbps at a sync", syncs, "two", { showLine: false, pointRadius: 2.5 }),
    ]);
}

function dirty(parent) {
  timeChart(figure(parent, "Dirty pages", "Pages that each sync found dirty, and the rate "
    + "(dirty-pages-rate, pages/s) as QEMU estimates it."), end, "", count, () => [
    series("dirty pages", passes.map((p) => ({ x: seconds(p["time-ns"]), y: p["dirty-pages"] })), "one",
      { pointRadius: 2.5, stepped: "after" }),
    series("pages/s", samples ? column("dirty-pages-rate") : [], "two", { stepped: true }),
  ]);
}

function throttle(parent) {
  const used = samples && samples["cpu-throttle-percentage"].some((v) => v > 0);
  if (used) {
    timeChart(figure(parent, "CPU throttle", "cpu-throttle-percentage: how much of its time each "
      + "vCPU sleeps."), end, "", (v) => v + " %", () => [
      series("throttle", column("cpu-throttle-percentage"), "four", { stepped: true, fill: true,
        backgroundColor: colour("four") + "33" })]);
  }
}

function disks(parent) {
  if (samples && samples["disk-remaining"] && samples["disk-remaining"].some((v) => v > 0)) {
    timeChart(figure(parent, "Disks remaining", ""), end, "", bytes, () => [
      series("disk", column("disk-remaining"), "three")]);
  }
}

// Bars ----------------------------------------------------------------------------------------

function bars(canvas, labels, values, name, format, horizontal, more) {
  chart(canvas, () => ({
    type: "bar",
    data: { labels, datasets: [series("", values, name, { borderWidth: 0, maxBarThickness: 36 })] },
    options: {
      indexAxis: horizontal ? "y" : "x",
      interaction: { mode: "index", intersect: false },
      scales: horizontal ? { x: axis("", format, { beginAtZero: true }), y: axis("") }
                         : { x: axis(""), y: axis("", format, Object.assign({ beginAtZero: true }, more)) },
      plugins: { tooltip: { callbacks: {
        label: (item) => (format || count)(horizontal ? item.parsed.x : item.parsed.y) } } },
    },
  }));
}

function passBars(parent) {
  if (passes.length < 2) return;
  const labels = passes.map((p) => String(p["dirty-sync-count"]));
  const sent = passes.map((p, i) =>
    (passes[i + 1] ? passes[i + 1].transferred : ram.transferred || p.transferred) - p.transferred);
  bars(figure(parent, "Passes", "Bytes sent behind each sync, by dirty-sync-count."
    + (query.status === "completed" ? " What follows the last one, the guest waits for." : "")), labels, sent, "one", bytes, false);
}

function downtime(parent) {
  const parts = Object.entries(data["downtime-ns"] || {}).filter(([, ns]) => ns > 0);
  if (!parts.length) return;
  bars(figure(parent, "Downtime", "From the order to stop the guest until it could go on."),
    parts.map(([name]) => name), parts.map(([, ns]) => ns), "two", time, true);
}

function bucket(i) {
  const us = 2 ** i;
  return us < 1000 ? us + " us" : us < 1e6 ? short(us / 1000) + " ms" : short(us / 1e6) + " s";
}

function faults(parent) {
  const buckets = (data.postcopy || {})["fault-latency-buckets"] || [];
  const first = buckets.findIndex((n) => n > 0);
  if (first < 0) return;
  let last = buckets.length - 1;
  while (buckets[last] === 0) last--;
  const shown = buckets.slice(first, last + 1);
  bars(figure(parent, "Fault latency", "How long vCPUs waited for pages in postcopy; each bar from "
    + "its label up to twice that. Logarithmic."), shown.map((_, i) => bucket(first + i)), shown, "two",
  count, false, { type: "logarithmic", beginAtZero: false, min: 0.8 });
}

// Heat map ------------------------------------------------------------------------------------

function heat(parent, map, what) {
  const canvas = figure(parent, "Pages sent: " + map.block, "", true);
  const caption = canvas.closest("figure").querySelector("figcaption");
  const text = what || "Upwards the offset in the block, to the right the time; the stronger, the more "
    + "pages were sent (logarithmic).";
  const most = map.counts.reduce((a, b) => Math.max(a, b), 1), pageSize = ram["page-size"] || 4096;
  const total = map.rows * map["row-pages"] * pageSize, width = map.columns * map["column-ns"];
  const left = 70, bottom = 24, top = 6;
  const box = () => canvas.parentElement.getBoundingClientRect();
  caption.textContent = text;

  function draw() {
    const size = box(), ratio = devicePixelRatio || 1, c = canvas.getContext("2d");
    canvas.width = size.width * ratio;
    canvas.height = size.height * ratio;
    canvas.style.width = size.width + "px";
    canvas.style.height = size.height + "px";
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const w = size.width - left - 8, h = size.height - bottom - top;
    c.fillStyle = colour("paper");
    c.fillRect(left, top, w, h);
    c.fillStyle = colour("two");
    for (let r = 0; r < map.rows; r++) {
      const y0 = top + Math.round(h - (r + 1) * h / map.rows), y1 = top + Math.round(h - r * h / map.rows);
      for (let k = 0; k < map.columns; k++) {
        const n = map.counts[r * map.columns + k];
        if (n > 0) {
          const x0 = left + Math.round(k * w / map.columns), x1 = left + Math.round((k + 1) * w / map.columns);
          c.globalAlpha = 0.15 + 0.85 * Math.log(1 + n) / Math.log(1 + most);
          c.fillRect(x0, y0, x1 - x0, y1 - y0);
        }
      }
    }
    c.globalAlpha = 1;
    c.fillStyle = colour("soft");
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (let i = 0; i <= 4; i++) c.fillText(bytes(total * i / 4), left - 6, top + h - i * h / 4);
    c.textBaseline = "top";
    for (let i = 0; i <= 5; i++) {
      c.textAlign = i === 0 ? "left" : i === 5 ? "right" : "center";
      c.fillText(time(width * i / 5), left + i * w / 5, top + h + 6);
    }
  }

  canvas.addEventListener("mousemove", (event) => {
    const size = canvas.getBoundingClientRect();
    const k = Math.floor((event.clientX - size.left - left) / (size.width - left - 8) * map.columns);
    const r = map.rows - 1
      - Math.floor((event.clientY - size.top - top) / (size.height - bottom - top) * map.rows);
    const inside = k >= 0 && k < map.columns && r >= 0 && r < map.rows;
    caption.textContent = inside ? count(map.counts[r * map.columns + k]) + " pages from "
      + bytes(r * map["row-pages"] * pageSize) + " on, at " + time(k * map["column-ns"]) : text;
  });
  canvas.addEventListener("mouseleave", () => { caption.textContent = text; });
  draw();
  drawn.push({ canvas, draw });
}

// Tables --------------------------------------------------------------------------------------

function downtimeTable() {
  const parts = Object.entries(data["downtime-ns"] || {});
  const sum = parts.reduce((a, [, ns]) => a + ns, 0);
  return sum ? [...parts.map(([name, ns]) => [name, time(ns)]), ["in all", time(sum)]] : [];
}

function tables() {
  const grid = element("div", { class: "tables" });
  const add = (title, rows) => {
    if (rows.length) grid.append(element("figure", {}, element("h3", {}, title), table(null, rows)));
  };
  section("Numbers").append(grid);
  add("query-migrate", flat(query));
  add("Downtime", downtimeTable());
  add("Guest", flat(data.guest));
  add("Postcopy", flat(data.postcopy));
  add("Destination", flat(data.destination));
  add("Run", flat({ version: data.version, qemu: data.qemu, seed: data.seed, digests: data.digests,
    libraries: data.libraries, "x-transport": data["x-transport"] }));
}

function passTable() {
  if (!passes.length) return;
  section("Passes").append(element("figure", {}, table(
    ["sync", "time", "remaining", "dirty pages", "transferred", "pages/s", "expected downtime", "mbps",
      "throttle"],
    passes.map((p) => [p["dirty-sync-count"], time(p["time-ns"]), bytes(p.remaining), p["dirty-pages"],
      bytes(p.transferred), p["dirty-pages-rate"], p["expected-downtime"] + " ms", p.mbps,
      (p["cpu-throttle-percentage"] || 0) + " %"]))));
}

function eventTable() {
  if (!events.length) return;
  section("Events").append(element("figure", {}, table(["time", "event", ""],
    events.map((e) => [time(e["time-ns"]), e.event, Object.values(e.data || {}).join(" ")]))));
}

// The page ------------------------------------------------------------------------------------

head();
const charts = element("div", { class: "charts" });
page.append(charts);
if (samples || passes.length) {
  remaining(charts);
  if (samples) bandwidth(charts);
  dirty(charts);
  passBars(charts);
  throttle(charts);
  disks(charts);
}
downtime(charts);
faults(charts);
for (const map of data["heat-map"] || []) heat(charts, map);
tables();
passTable();
eventTable();
footer("migbench " + (data.version || "") + ". Everything on this page is in this file.");
