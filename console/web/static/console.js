"use strict";
// Live rows, the keyboard, and the panel beside a list. Everything else works without this file.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const announce = (text) => { $("#status").textContent = text; };

// htmx: forms that act carry the page's token
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") event.detail.headers["X-CSRF-Token"] = $('meta[name="csrf"]').content;
});

// Parts that keep themselves fresh, while somebody looks
const REFRESH_MS = 10000;
setInterval(() => {
  if (!document.hidden && !paused) document.body.dispatchEvent(new Event("refresh"));
}, REFRESH_MS);

// Empty fields of a filter form stay out of the address
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-drop-empty]")) {
    const dropped = $$("input, select", form).filter((field) => !field.value);
    dropped.forEach((field) => { field.disabled = true; });
    setTimeout(() => dropped.forEach((field) => { field.disabled = false; }), 0);
  }
}, true);

// The panel: one request beside the list
const panel = $("#panel");
let opener = null;

async function openRow(link) {
  opener = link;
  const answer = await fetch(link.href, { headers: { "HX-Request": "true" } });
  if (!answer.ok) { location.href = link.href; return; }
  panel.innerHTML = await answer.text();
  panel.hidden = false;
  panel.focus({ preventScroll: true });
  panel.scrollTop = 0;
  $$("tr.open").forEach((row) => row.classList.remove("open"));
  link.closest("tr")?.classList.add("open");
}

function closePanel() {
  if (panel.hidden) return false;
  panel.hidden = true;
  panel.replaceChildren();
  $$("tr.open").forEach((row) => row.classList.remove("open"));
  opener?.focus({ preventScroll: true });
  return true;
}

document.addEventListener("click", (event) => {
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);
  const link = event.target.closest("a.open");
  if (link && plain) { event.preventDefault(); openRow(link); return; }
  if (event.target.closest("[data-close]") && closePanel()) { event.preventDefault(); return; }
  if (event.target.closest("[data-copy]")) {
    const button = event.target.closest("[data-copy]");
    navigator.clipboard?.writeText($(`#${button.dataset.copy}`).textContent).then(() => announce("Copied"));
    return;
  }
  const row = event.target.closest("tr[data-id]");
  if (row && plain && !event.target.closest("a, button") && !String(getSelection())) {
    const inside = $("a.open", row);
    if (inside) openRow(inside);
  }
});

// The keyboard
function rows() { return $$("table[data-keys] tbody tr"); }

function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("here"));
  let first = at < 0 ? all.findIndex((row) => row.getBoundingClientRect().top > 0) : at + by;
  first = Math.max(0, Math.min(all.length - 1, first));
  all.forEach((row) => row.classList.remove("here"));
  const row = all[first];
  row.classList.add("here");
  const link = $("a", row);
  if (link) link.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    if (typing) { event.target.blur(); return; }
    if (!closePanel()) $$("details[open]").forEach((one) => { one.open = false; });
    return;
  }
  if (typing || $("dialog[open]")) return;
  const actions = {
    j: () => move(1),
    k: () => move(-1),
    "/": () => $("#search")?.focus(),
    "?": () => $("#help").showModal(),
    p: () => $("#pause")?.click(),
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});
$("#help-button").addEventListener("click", () => $("#help").showModal());

// Live rows
const MAX_ROWS = 300;
const AGAIN_MS = 10000;
let paused = false;
let source = null;
let after = 0;
let waiting = [];
let askedAgain = 0;
let table = null;

function say(text) { const state = $("#live-state"); if (state) state.textContent = text; }

function connect() {
  if (source || paused || document.hidden || !table) return;
  const address = new URL(table.dataset.live, location.href);
  address.searchParams.set("after", after);
  source = new EventSource(address);
  source.addEventListener("rows", (event) => { after = Number(event.lastEventId) || after; take(JSON.parse(event.data)); });
  source.onopen = () => say("live");
  source.onerror = () => say(source && source.readyState === EventSource.CLOSED ? "not connected" : "connecting again");
}

function disconnect() { source?.close(); source = null; }

function take(batch) {
  if (batch.again) {
    if (Date.now() - askedAgain > AGAIN_MS) { askedAgain = Date.now(); location.reload(); }
    return;
  }
  waiting.push(batch);
  const top = table.getBoundingClientRect().top;
  const reads = top < 0 || !panel.hidden || $("tr.here", table);
  if (reads) offer(); else show();
}

// Rows that would push away what somebody reads wait behind a button
function offer() {
  const number = waiting.reduce((sum, batch) => sum + batch.rows + batch.left_out, 0);
  const fresh = $("#fresh");
  fresh.hidden = false;
  $("button", fresh).textContent = `${number} new ${number === 1 ? "request" : "requests"}`;
}

function show() {
  const body = $("tbody", table);
  const known = new Set($$("tr[data-id]", body).map((row) => row.dataset.id));
  for (const batch of waiting) {
    const made = document.createElement("template");
    made.innerHTML = batch.html;
    const fresh = [...made.content.children].filter((row) => !known.has(row.dataset.id));
    fresh.forEach((row) => { row.classList.add("new"); known.add(row.dataset.id); });
    body.prepend(...fresh);
    if (batch.left_out) say(`live, ${batch.left_out} not shown`);
  }
  waiting = [];
  $("#fresh").hidden = true;
  $$("tr", body).slice(MAX_ROWS).forEach((row) => row.remove());
  $(".empty-rows")?.remove();
}

function pause(on) {
  paused = on;
  const button = $("#pause");
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Go on" : "Pause";
  if (on) { disconnect(); say("paused"); } else { connect(); }
}

function begin() {
  table = $("table[data-live]");
  if (!table) return;
  after = Number(table.dataset.after);
  $("#pause").addEventListener("click", () => pause(!paused));
  $("#fresh button").addEventListener("click", show);
  document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
  connect();
}
begin();
