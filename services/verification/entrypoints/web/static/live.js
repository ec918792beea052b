// Keeps a page current over one event stream and says honestly how current it is.
// The words: "live" while heartbeats come, "delayed" when the newest data is old, "lost" after 8 s of silence.
"use strict";

const page = document.documentElement.dataset;
const state = { source: null, cursor: page.cursor, lastBeat: 0, retry: 500, timer: 0, delayed: 0 };
const sign = document.getElementById("connection");

function say(name, text) {
  if (!sign || (sign.dataset.state === name && sign.lastElementChild.textContent === text)) return;
  sign.dataset.state = name;
  sign.lastElementChild.textContent = text;
}

function clock(date) {
  return date.toLocaleTimeString(document.documentElement.lang, { hour12: false, timeZone: page.zone });
}

function beat(message) {
  state.lastBeat = Date.now();
  state.retry = 500;
  const data = message && message.data ? JSON.parse(message.data) : {};
  state.delayed = data.delayed_seconds || 0;
  judge();
}

function judge() {
  if (!page.live) return;
  const silent = Date.now() - state.lastBeat;
  if (state.lastBeat && silent < 8000) {
    if (state.delayed > 0) say("delayed", sign.dataset.delayed.replace("{n}", String(Math.round(state.delayed))));
    else say("live", `${sign.dataset.live} ${clock(new Date(state.lastBeat))}`);
    return;
  }
  const since = state.lastBeat ? clock(new Date(state.lastBeat)) : sign.dataset.never;
  say("lost", sign.dataset.lost.replace("{t}", since));
  if (state.source && state.lastBeat) reopen();
}

// Rows are patched one by one under their key: focus, selection and scroll position stay where they are.
function patch(holder, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const known = new Map([...holder.querySelectorAll("[data-key]")].map((node) => [node.dataset.key, node]));
  for (const node of [...fresh.content.querySelectorAll("[data-key]")]) {
    const old = known.get(node.dataset.key);
    known.delete(node.dataset.key);
    if (!old) holder.append(node);
    else if (old.dataset.version !== node.dataset.version) {
      const focused = old.contains(document.activeElement) || old === document.activeElement;
      if (old.getAttribute("aria-selected")) node.setAttribute("aria-selected", old.getAttribute("aria-selected"));
      if (old.dataset.word !== node.dataset.word) node.classList.add("changed");
      old.replaceWith(node);
      if (focused) (node.querySelector("a") || node).focus({ preventScroll: true });
    }
  }
  for (const gone of known.values()) gone.remove();
}

const parts = [...document.querySelectorAll("[data-part]")];
let wanted = false;
let busy = false;

async function refresh() {
  wanted = true;
  if (busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    await Promise.all(parts.map(async (part) => {
      const answer = await fetch(part.dataset.part, { headers: { Accept: "text/html" } }).catch(() => null);
      if (answer && answer.ok) patch(part, await answer.text());
    }));
    document.dispatchEvent(new CustomEvent("pilotline:refreshed"));
    await new Promise((done) => setTimeout(done, 500));
  }
  busy = false;
}

function open() {
  if (!page.live || document.hidden) return;
  const url = new URL(page.live, location.href);
  if (state.cursor) url.searchParams.set("after", state.cursor);
  const source = new EventSource(url);
  state.source = source;
  source.addEventListener("hb", beat);
  for (const name of ["snapshot", "reset", "verdict", "criterion", "lifecycle", "gap", "late", "alert", "margin", "value", "fresh"]) {
    source.addEventListener(name, (message) => {
      if (message.lastEventId) state.cursor = message.lastEventId;
      beat(null);
      refresh();
    });
  }
  source.addEventListener("bye", () => reopen());
  // A stream that was refused once is closed for good by the browser: open it anew with the last cursor.
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) reopen(); };
}

function reopen() {
  if (state.source) state.source.close();
  state.source = null;
  clearTimeout(state.timer);
  const wait = state.retry * (0.7 + 0.6 * Math.random());
  state.retry = Math.min(state.retry * 2, 15000);
  state.timer = setTimeout(open, wait);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    setTimeout(() => {
      if (document.hidden && state.source) { state.source.close(); state.source = null; }
    }, 2000);
  } else if (!state.source) { state.lastBeat = Date.now(); open(); refresh(); }
});
window.addEventListener("online", () => { if (!state.source) open(); });
window.addEventListener("pageshow", judge);
if (page.live) { setInterval(judge, 1000); state.lastBeat = Date.now(); open(); }
