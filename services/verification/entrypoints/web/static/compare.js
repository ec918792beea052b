// The same signal in the same phase of several runs, laid over each other from the phase's start.
// The server puts null at a gap; uPlot.join keeps nulls as gaps and fills with undefined, over which lines go on.
"use strict";

const overlay = document.getElementById("overlay");
if (overlay && window.uPlot) {
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const inks = ["--muted", "--inconclusive", "--info"];
  const dashes = [[2, 4], [8, 4], []];
  let plot = null;
  let abort = null;

  // Ticks where people count time: seconds, minutes, hours, days.
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
  const clock = (seconds) => {
    const whole = Math.round(seconds);
    const two = (n) => String(n).padStart(2, "0");
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  };

  function drawLimits(u, limits) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    for (const limit of limits) {
      const y = u.valToPos(limit.value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = token(limit.guard ? "--inconclusive" : "--text");
      ctx.fillStyle = ctx.strokeStyle;
      ctx.setLineDash(limit.guard ? [6, 5] : []);
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.textBaseline = limit.below ? "top" : "bottom";
      ctx.fillText(limit.label, bbox.left + bbox.width - 4 * devicePixelRatio, y + (limit.below ? 3 : -2) * devicePixelRatio);
    }
    ctx.restore();
  }

  function range(limits) {
    return (_u, low, high) => {
      const values = [low, high, ...limits.map((limit) => limit.value)].filter((value) => value !== null && Number.isFinite(value));
      if (!values.length) return [0, 1];
      const least = Math.min(...values);
      const most = Math.max(...values);
      const margin = (most - least || Math.abs(most) || 1) * 0.06;
      return [least - margin, most + margin];
    };
  }

  function draw(data) {
    if (plot) plot.destroy();
    plot = null;
    overlay.textContent = "";
    if (!data || !data.curves.length) {
      overlay.textContent = overlay.dataset.empty;
      return;
    }
    const axis = { stroke: () => token("--muted"), grid: { stroke: () => token("--hair"), width: 1 }, ticks: { stroke: () => token("--hair"), width: 1 } };
    const series = [{ label: overlay.dataset.time, value: (_u, at) => (at === null ? "–" : clock(at)) }];
    const tables = [];
    const bands = [];
    const from = inks.length - data.curves.length;
    for (const [index, curve] of data.curves.entries()) {
      const ink = inks[index + from];
      const look = { stroke: () => token(ink), width: index === data.curves.length - 1 ? 2 : 1.5, dash: dashes[index + from], points: { show: false } };
      if (curve.samples) {
        tables.push([curve.x, curve.lo]);
        series.push({ label: `${curve.label} [${data.unit}]`, ...look });
      } else {
        tables.push([curve.x, curve.lo, curve.hi]);
        series.push({ label: `${curve.label} min [${data.unit}]`, ...look }, { label: "max", ...look });
        bands.push({ series: [series.length - 1, series.length - 2], fill: () => token(ink) + "22" });
      }
    }
    plot = new uPlot({
      width: overlay.clientWidth, height: 300, series, bands,
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: false }, y: { range: range(data.limits) } },
      axes: [{ ...axis, values: (_u, splits) => splits.map(clock), incrs: steps, space: 80 }, { ...axis, size: 72 }],
      hooks: { draw: [(u) => drawLimits(u, data.limits)] },
    }, uPlot.join(tables), overlay);
  }

  async function choose(row) {
    for (const other of document.querySelectorAll("tr[aria-selected='true']")) other.setAttribute("aria-selected", "false");
    row.setAttribute("aria-selected", "true");
    const address = new URL(location.href);
    address.searchParams.set("c", row.dataset.criterion);
    history.replaceState(null, "", address);
    const url = new URL(overlay.dataset.url, location.href);
    url.searchParams.set("criterion", row.dataset.criterion);
    if (overlay.dataset.baseline) url.searchParams.set("baseline", overlay.dataset.baseline);
    if (abort) abort.abort();
    const mine = new AbortController();
    abort = mine;
    const data = await fetch(url, { signal: mine.signal }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    // The newest choice wins: an answer that was overtaken is not drawn.
    if (abort === mine) draw(data);
  }

  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-criterion]");
    if (row) choose(row);
  });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest && event.target.closest("tr[data-criterion]");
    if (row && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(row); }
  });
  new ResizeObserver(() => { if (plot && Math.abs(plot.width - overlay.clientWidth) > 4) plot.setSize({ width: overlay.clientWidth, height: 300 }); }).observe(overlay);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (plot) plot.redraw(); });
  const first = document.querySelector("tr[aria-selected='true']") || document.querySelector("tr[data-criterion]");
  if (first) choose(first);
} else if (overlay) {
  overlay.textContent = overlay.dataset.missing;
}
