"""The script of the page: tabs, links between all places that show one value, search, theme."""

SCRIPT = r"""
"use strict";
const $ = (s, e = document) => e.querySelector(s), $$ = (s, e = document) => [...e.querySelectorAll(s)];
const root = document.documentElement;

// theme: the system's until the button says otherwise
const remember = (k, v) => { try { localStorage.setItem(k, v); } catch { /* a page from disk may have none */ } };
const recall = k => { try { return localStorage.getItem(k); } catch { return null; } };
const system = matchMedia("(prefers-color-scheme: dark)");
const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
if (recall("graphc-theme")) root.dataset.theme = recall("graphc-theme");
function label() {
  $("#theme").textContent = dark() ? "Light" : "Dark";
  $("#theme").setAttribute("aria-pressed", dark());
}
$("#theme").onclick = () => {
  root.dataset.theme = dark() ? "light" : "dark";
  remember("graphc-theme", root.dataset.theme);
  label();
};
system.onchange = label;
label();

// tabs: arrow keys move, the panel follows
function open(tab, focus) {
  for (const other of $$("[role=tab]", tab.parentElement)) {
    const on = other === tab;
    other.setAttribute("aria-selected", on);
    other.tabIndex = on ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !on;
  }
  if (focus) tab.focus();
  if (tab.closest(".line")) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
}
for (const list of $$("[role=tablist]")) {
  list.addEventListener("click", e => {
    const tab = e.target.closest("[role=tab]");
    if (!tab) return;
    open(tab);
    settle(tab);
  });
  list.addEventListener("keydown", e => {
    const tabs = $$("[role=tab]", list), at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (at < 0 || to === undefined) return;
    e.preventDefault();
    open(tabs[(to + tabs.length) % tabs.length], true);
  });
}
// a source opens where the first line is that comes from the model
function settle(tab) {
  const body = document.getElementById(tab.getAttribute("aria-controls"));
  const solved = e => keys(e).some(k => by.get(k).some(x => x.dataset.p === "eq"));
  const first = body && ($(".hit", body) || $$("[data-v]", body).find(solved));
  if (!body || !body.classList.contains("starts") || body.dataset.settled || !first) return;
  body.dataset.settled = 1;
  into(body, first, .25);
}
function into(body, element, where = .4) {
  const a = element.getBoundingClientRect(), b = body.getBoundingClientRect();
  body.scrollTop += a.top - b.top - body.clientHeight * where;
  if (element.dataset.p === "kernel") body.scrollLeft = Math.max(0, indent(element) - 16);
  if (element.closest("svg")) body.scrollLeft += a.left - b.left - body.clientWidth / 2 + a.width / 2;
}

const indent = e => { const t = e.lastElementChild.textContent; return (t.length - t.trimStart().length) * 7.2; };

// links: every element with data-v shows these values, with data-l it comes from this line
const by = new Map();
for (const e of $$("[data-v], [data-l]")) {
  for (const key of [...(e.dataset.v || "").split(" ").filter(Boolean), e.dataset.l && "line " + e.dataset.l])
    if (key) by.has(key) ? by.get(key).push(e) : by.set(key, [e]);
}
const keys = e => (e.dataset.v || "").split(" ").filter(Boolean);
let chosen = null;
function related(e) {
  const line = (e.dataset.l && by.get("line " + e.dataset.l)) || [], own = keys(e).flatMap(k => by.get(k) || []);
  const hits = new Set(own.length ? own : line);
  hits.add(e);
  return [hits, new Set(line.filter(x => !hits.has(x)))];
}
function choose(e, focus = true) {
  for (const old of $$(".hit, .near")) old.classList.remove("hit", "near");
  chosen = e;
  const [hits, near] = related(e);
  for (const h of hits) h.classList.add("hit");
  for (const n of near) n.classList.add("near");
  for (const pane of $$(".pane")) follow(pane, hits, near, e);
  trail(e, hits, near);
  if (focus) e.focus({ preventScroll: true });
}
const panelOf = e => e.closest("[role=tabpanel]");
const tabOf = p => p && document.querySelector(`[aria-controls="${p.id}"]`);
// each pane shows what belongs to the choice: in the tab that is open, else in the first that has it
function follow(pane, hits, near, e) {
  if (pane.contains(e)) return;
  const inside = s => [...s].filter(x => pane.contains(x));
  const found = inside(hits).length ? inside(hits) : inside(near);
  if (!found.length) return;
  const target = found.find(x => !x.closest("[hidden]")) || found[0];
  reveal(target, false);
}
function reveal(e, page = true) {
  for (let p = panelOf(e); p; p = panelOf(p.parentElement)) { const t = tabOf(p); if (t && p.hidden) open(t); }
  const body = e.closest(".body");
  if (body) { body.dataset.settled = 1; into(body, e); }
  if (page) (e.closest(".pane, .stage") || e).scrollIntoView({ block: "nearest" });
}
const places = [["line", "your line"], ["eq", "equation"], ["node", "graph"], ["kernel", "kernel line"],
  ["net", "network"], ["pass", "in passes"]];
const placeOf = e => e.dataset.p;
function trail(e, hits, near) {
  const bar = $("#trail"), name = keys(e).map(k => k.split(":")[1]).join(", ") || e.dataset.l;
  bar.replaceChildren();
  const title = document.createElement("b");
  title.textContent = name;
  bar.append(title);
  for (const [place, words] of places) {
    let all = [...hits].filter(x => placeOf(x) === place && x !== e);
    if (!all.length && place !== "pass" && place !== "net") all = [...near].filter(x => placeOf(x) === place);
    if (place === "kernel") for (const [file, first] of firsts(all)) button(bar, `${words} · ${file}`, first, place);
    else if (all.length) button(bar, words + (place === "line" ? ` · ${all[0].dataset.l}` : ""), best(all), place);
  }
  const close = document.createElement("button");
  close.textContent = "Close";
  close.className = "close";
  close.onclick = clear;
  bar.append(close);
  bar.hidden = false;
}
function firsts(all) {
  const found = new Map();
  for (const e of all) if (!found.has(e.dataset.f)) found.set(e.dataset.f, e);
  return found;
}
const best = all => all.find(x => !x.closest("[hidden]")) || all[0];
function button(bar, words, target, place) {
  const b = document.createElement("button");
  b.textContent = words;
  b.dataset.to = place;
  b.onclick = () => { reveal(target); choose(target); };
  bar.append(b);
}
function clear() {
  for (const old of $$(".hit, .near")) old.classList.remove("hit", "near");
  $("#trail").hidden = true;
  if (chosen) chosen.focus({ preventScroll: true });
  chosen = null;
}
document.addEventListener("click", e => {
  const at = e.target.closest("[data-v], [data-l]");
  if (at && !String(getSelection())) choose(at);
});

// one tab stop per list of linked things; arrows move inside
for (const body of $$(".body, .net-box")) {
  const items = $$("[data-v], [data-l]", body);
  if (items.length) items[0].tabIndex = 0;
}
document.addEventListener("keydown", e => {
  const at = document.activeElement, typing = at && at.matches("input");
  if (e.key === "/" && !typing) { e.preventDefault(); box.focus(); box.select(); return; }
  if (e.key === "Escape" && !typing) { clear(); return; }
  if (!at || !at.matches("[data-v], [data-l]")) return;
  if (e.key === "Enter" || e.key === " ") { e.preventDefault(); choose(at); return; }
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
  if (!step) return;
  const body = at.closest(".body, .net-box");
  const items = body ? $$("[data-v], [data-l]", body).filter(x => !x.closest("[hidden]")) : [];
  const next = items[items.indexOf(at) + step];
  if (!next) return;
  e.preventDefault();
  at.tabIndex = -1;
  next.tabIndex = 0;
  next.focus({ preventScroll: true });
  if (body.classList.contains("body")) into(body, next); else next.scrollIntoView({ block: "nearest" });
});

// search: everything that is linked, and the stages
const box = $("#find"), list = $("#found");
const texts = $$("[data-v], [data-l], .line [role=tab]").filter(e => e.dataset.p !== "pass")
  .map(e => [e, (e.dataset.t || e.getAttribute("aria-label") || e.textContent).trim().replace(/\s+/g, " ")]);
const kinds = { line: "your line", eq: "equation", node: "graph", kernel: "kernel", net: "network" };
let picked = -1, shown = [];
function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = words.length ? texts.filter(([, t]) => words.every(w => t.toLowerCase().includes(w))) : [];
  const count = {};
  shown = shown.filter(([e]) => (count[e.dataset.p] = (count[e.dataset.p] || 0) + 1) <= 10);
  picked = shown.length ? 0 : -1;
  list.replaceChildren(...shown.map(([e, t], k) => {
    const li = document.createElement("li"), kind = document.createElement("b"), text = document.createElement("span");
    li.id = "found-" + k;
    li.setAttribute("role", "option");
    kind.textContent = kinds[e.dataset.p] || "pass";
    text.textContent = (e.dataset.f && e.dataset.p === "kernel" ? e.dataset.f + "  " : "") + t;
    li.append(kind, text);
    li.onmousedown = ev => { ev.preventDefault(); go(k); };
    return li;
  }));
  if (words.length && !shown.length) {
    const li = document.createElement("li");
    li.textContent = "nothing found";
    list.append(li);
  }
  list.hidden = !words.length;
  box.setAttribute("aria-expanded", !list.hidden);
  mark();
}
function mark() {
  $$("li", list).forEach((li, k) => li.setAttribute("aria-selected", k === picked));
  if (picked >= 0) box.setAttribute("aria-activedescendant", "found-" + picked);
  else box.removeAttribute("aria-activedescendant");
  if (picked >= 0) list.children[picked].scrollIntoView({ block: "nearest" });
}
function go(k) {
  const [e] = shown[k];
  list.hidden = true;
  box.setAttribute("aria-expanded", false);
  if (e.matches("[role=tab]")) { open(e, true); e.scrollIntoView({ block: "center" }); } else { reveal(e); choose(e); }
}
box.addEventListener("input", search);
box.addEventListener("focus", search);
box.addEventListener("blur", () => { list.hidden = true; box.setAttribute("aria-expanded", false); });
box.addEventListener("keydown", e => {
  if (e.key === "Escape") { box.value = ""; search(); box.blur(); }
  else if (e.key === "Enter" && picked >= 0) { e.preventDefault(); go(picked); }
  else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
    e.preventDefault();
    if (shown.length) picked = (picked + (e.key === "ArrowDown" ? 1 : shown.length - 1)) % shown.length;
    mark();
  }
});
for (const tab of $$("[role=tab][aria-selected=true]")) settle(tab);
"""
