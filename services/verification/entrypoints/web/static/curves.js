// Curves of a run: minimum and maximum per bucket, limit lines, phases, gaps, late samples, worst instant.
// The server puts null at a gap; null is the only value that uPlot draws as one.
"use strict";

const holder = document.getElementById("chart");
if (holder && window.uPlot) {
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const zone = holder.dataset.zone;
  const words = new Intl.DateTimeFormat(document.documentElement.lang, {
    timeZone: zone, month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false,
  });
  const moment = (seconds) => words.format(new Date(seconds * 1e3));
  let plot = null;
  let current = null;
  let abort = null;

  function drawUnder(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const [index, phase] of current.phases.entries()) {
      const left = u.valToPos(phase.from, "x", true);
      const right = u.valToPos(phase.to, "x", true);
      ctx.fillStyle = index % 2 ? token("--bg") : token("--surface");
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.fillStyle = token("--muted");
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom";
      ctx.fillText(phase.name, Math.max(left, bbox.left) + 4 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
    }
    ctx.strokeStyle = token("--late");
    ctx.lineWidth = devicePixelRatio;
    for (const gap of current.gaps) {
      const left = u.valToPos(gap.from, "x", true);
      const right = Math.max(u.valToPos(gap.to, "x", true), left + 3 * devicePixelRatio);
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, bbox.top, right - left, bbox.height);
      ctx.clip();
      for (let x = left - bbox.height; x < right; x += 8 * devicePixelRatio) {
        ctx.beginPath();
        ctx.moveTo(x, bbox.top + bbox.height);
        ctx.lineTo(x + bbox.height, bbox.top);
        ctx.stroke();
      }
      ctx.restore();
    }
    ctx.restore();
  }

  function drawOver(u) {
    const { ctx, bbox } = u;
    ctx.save();
    for (const limit of current.limits) {
      const y = u.valToPos(limit.value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = token(limit.guard ? "--inconclusive" : "--text");
      ctx.setLineDash(limit.guard ? [6, 5] : []);
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.fillStyle = ctx.strokeStyle;
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "right";
      // A guard band lies inside its limit: its label goes to the other side of its line, so that the two never cover each other.
      ctx.textBaseline = limit.below ? "top" : "bottom";
      ctx.fillText(limit.label, bbox.left + bbox.width - 4 * devicePixelRatio, y + (limit.below ? 3 : -2) * devicePixelRatio);
    }
    ctx.setLineDash([]);
    if (current.bounds !== null) drawBounds(u);
    ctx.fillStyle = token("--late");
    for (const instant of current.late) {
      const x = u.valToPos(instant, "x", true);
      ctx.fillRect(x, bbox.top + bbox.height - 6 * devicePixelRatio, 2 * devicePixelRatio, 6 * devicePixelRatio);
    }
    if (current.worst !== null) {
      const x = u.valToPos(current.worst.at, "x", true);
      const y = u.valToPos(current.worst.value, "y", true);
      ctx.strokeStyle = token("--fail");
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      ctx.arc(x, y, 6 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.restore();
  }

  // An envelope moves in steps: each pair of bounds holds until the next.
  function drawBounds(u) {
    const { ctx, bbox } = u;
    const { x, low, high } = current.bounds;
    const step = x.length > 1 ? x[1] - x[0] : 0;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.strokeStyle = token("--text");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const bound of [low, high]) {
      ctx.beginPath();
      for (const [index, value] of bound.entries()) {
        const y = u.valToPos(value, "y", true);
        ctx.lineTo(u.valToPos(x[index], "x", true), y);
        ctx.lineTo(u.valToPos(index + 1 < x.length ? x[index + 1] : x[index] + step, "x", true), y);
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  function range(_u, low, high) {
    const bounds = current.bounds === null ? [] : [Math.min(...current.bounds.low), Math.max(...current.bounds.high)];
    const values = [low, high, ...bounds, ...current.limits.map((limit) => limit.value)].filter((value) => value !== null && Number.isFinite(value));
    if (!values.length) return [0, 1];
    const least = Math.min(...values);
    const most = Math.max(...values);
    const margin = (most - least || Math.abs(most) || 1) * 0.06;
    return [least - margin, most + margin];
  }

  function draw(data) {
    current = data;
    if (plot) plot.destroy();
    holder.textContent = "";
    const few = data.samples;
    plot = new uPlot({
      width: holder.clientWidth, height: 280,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), zone),
      cursor: { drag: { x: true, y: false, setScale: false } },
      legend: { show: true },
      scales: { y: { range } },
      axes: [
        {
          stroke: () => token("--muted"), grid: { stroke: () => token("--hair"), width: 1 }, ticks: { stroke: () => token("--hair"), width: 1 },
          values: (_u, splits) => splits.map((at) => moment(at).replace(", ", "\n").replace(" ", "\n")), space: 90,
        },
        { stroke: () => token("--muted"), grid: { stroke: () => token("--hair"), width: 1 }, ticks: { stroke: () => token("--hair"), width: 1 }, size: 72 },
      ],
      series: [
        { label: holder.dataset.time, value: (_u, at) => (at === null ? "–" : moment(at)) },
        { label: `${data.channel} min [${data.unit}]`, stroke: () => token("--info"), width: 1, points: { show: few } },
        { label: "max", stroke: () => token("--info"), width: 1, points: { show: few } },
      ],
      bands: [{ series: [2, 1], fill: () => token("--info") + "33" }],
      hooks: {
        drawClear: [drawUnder], draw: [drawOver],
        setSelect: [(u) => {
          if (u.select.width < 6) return;
          show({ from: u.posToVal(u.select.left, "x"), to: u.posToVal(u.select.left + u.select.width, "x") });
        }],
      },
    }, [data.x, data.lo, data.hi], holder);
  }

  async function show(window_) {
    const url = new URL(holder.dataset.url, location.href);
    const chosen = document.querySelector("tr[aria-selected='true']");
    const criterion = chosen ? chosen.dataset.criterion : holder.dataset.criterion;
    if (!criterion) return;
    url.searchParams.set("criterion", criterion);
    url.searchParams.set("points", String(Math.min(800, Math.max(200, holder.clientWidth))));
    if (window_) { url.searchParams.set("from", String(window_.from)); url.searchParams.set("to", String(window_.to)); }
    holder.dataset.zoomed = window_ ? "1" : "";
    if (abort) abort.abort();
    const mine = new AbortController();
    abort = mine;
    const data = await fetch(url, { signal: mine.signal }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    // The newest choice wins: an answer that was overtaken is not drawn.
    if (data && abort === mine) draw(data);
  }

  async function choose(row) {
    for (const other of document.querySelectorAll("tr[aria-selected='true']")) other.setAttribute("aria-selected", "false");
    row.setAttribute("aria-selected", "true");
    const address = new URL(location.href);
    address.searchParams.set("c", row.dataset.criterion);
    history.replaceState(null, "", address);
    const evidence = document.getElementById("evidence");
    const told = fetch(row.dataset.evidence, { headers: { Accept: "text/html" } })
      .then((answer) => (answer.ok ? answer.text() : null)).catch(() => null);
    await show(null);
    const text = await told;
    if (evidence && text && row.getAttribute("aria-selected") === "true") evidence.innerHTML = text;
  }

  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-criterion]");
    if (row) { event.preventDefault(); choose(row); }
    if (event.target.closest("#fit")) show(null);
  });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest && event.target.closest("tr[data-criterion]");
    if (row && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(row); }
  });
  document.addEventListener("pilotline:refreshed", () => { if (!holder.dataset.zoomed) show(null); });
  new ResizeObserver(() => { if (plot && Math.abs(plot.width - holder.clientWidth) > 4) plot.setSize({ width: holder.clientWidth, height: 280 }); }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (plot) plot.redraw(); });
  const first = document.querySelector("tr[aria-selected='true']") || document.querySelector("tr[data-criterion]");
  if (first) choose(first);
} else if (holder) {
  holder.textContent = holder.dataset.missing;
}
