// SPDX-License-Identifier: Apache-2.0
// The report of repeated runs. `data`: see docs/model.md, "Uncertainty" (schema migbench-runs-1).

const MEASURES = [
  ["downtime", "Downtime", (v) => time(v * 1e6)],
  ["total-time", "Total time", (v) => time(v * 1e6)],
  ["transferred", "Transferred", bytes],
];
const completed = data.runs.filter((r) => r.status === "completed");
const limit = data["downtime-limit"];
const percent = (share) => short(share * 100) + " %";

function head() {
  const late = data["p-exceeds-downtime-limit"], unended = data["p-not-converging"];
  page.append(element("h1", {}, document.title));
  figures(page, [
    [data.completed + " of " + data.count, "runs completed", data.completed === data.count ? "good" : "bad"],
    [percent(late), "of them exceed downtime-limit, " + time(limit * 1e6), late ? "bad" : "good"],
    [percent(unended), "do not converge within the scenario's limit", unended ? "bad" : "good"],
  ]);
}

function quantiles() {
  if (!completed.length) return;
  section("What to expect").append(element("figure", {}, table(["", "p5", "p50", "p95"],
    MEASURES.map(([name, title, format]) =>
      [title, ...["p5", "p50", "p95"].map((p) => format(data[name][p]))]))));
}

// So many percent of the runs that completed are at most there: a line through all of them.
function spread(parent, name, title, format) {
  const values = completed.map((r) => r[name]).sort((a, b) => a - b);
  if (!values.length) return;
  const canvas = figure(parent, title, "What so many percent of the runs that completed did not exceed");
  chart(canvas, () => {
    const sets = [series(title, values.map((v, i) => ({ x: (i + 1) * 100 / values.length, y: v })), "one",
      { stepped: "after" })];
    if (name === "downtime") {
      sets.push(series("downtime-limit", [{ x: 0, y: limit }, { x: 100, y: limit }], "bad", { borderDash: [4, 4] }));
    }
    return {
      type: "line", data: { datasets: sets },
      options: {
        scales: {
          x: axis("percent of the runs", count, { type: "linear", min: 0, max: 100 }),
          y: axis("", format, { beginAtZero: name === "downtime" }),
        },
        plugins: { tooltip: { callbacks: {
          title: (items) => (items.length ? short(items[0].parsed.x) + " % of the runs" : ""),
          label: (item) => item.dataset.label + " " + format(item.parsed.y),
        } } },
      },
    };
  });
}

// Seeds are in the file: they have more digits than a number holds here.
function runTable() {
  const heads = ["run", "status", "downtime", "total time", "transferred", "syncs"];
  section("Runs").append(element("figure", {}, table(heads,
    data.runs.map((r, i) => [i + 1, r.status, r.downtime === undefined ? "" : r.downtime + " ms",
      r["total-time"] === undefined ? "" : r["total-time"] + " ms", bytes(r.transferred), r["dirty-sync-count"]]))));
}

head();
quantiles();
const charts = element("div", { class: "charts" });
page.append(charts);
for (const [name, title, format] of MEASURES) spread(charts, name, title, format);
runTable();
footer("Everything on this page is in this file.");
