"use strict";
const $ = id => document.getElementById(id), nav = document.querySelector("nav"), main = document.querySelector("main");
let D, shown, depth = 0, rows = [], at = -1;

const make = (tag, text, attributes = {}) => {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  return Object.assign(node, attributes);
};

function table(head, lines, kind = "") {
  const node = make("table", null, {className: kind});
  [head, ...lines].forEach((cells, n) => {
    const row = make("tr");
    cells.forEach(cell => row.append(make(n ? "td" : "th", cell)));
    node.append(row);
  });
  return node;
}

function list(groups) {
  const node = make("ul");
  groups.forEach(group => {
    const item = make("li"), line = make("div"), sign = make("b", group.sign);
    sign.dataset.k = group.sign;
    line.append(sign, make("span", group.text), make("small", [group.params, group.macs].filter(Boolean).join("\u2003")));
    const n = rows.push({line, entries: group.entries}) - 1;
    line.onclick = () => choose(n);
    item.append(line, list(group.inside));
    if (group.rest) item.lastChild.append(make("li", group.rest, {className: "rest"}));
    node.append(item);
  });
  return node;
}

function draw() {
  document.querySelector("h1").textContent = shown.title;
  rows = [];
  at = -1;
  const parts = [];
  if (shown.equal) parts.push(make("p", shown.sides ? "the same net" : "the same recipe"));
  if (shown.figures) parts.push(table(["", "before", "after", "difference", ""], shown.figures));
  if (shown.fields.length) parts.push(table(["", "before", "after"], shown.fields, "fields"));
  if (shown.follows?.length) parts.push(make("h2", "what follows"), table(["", "before", "after"], shown.follows, "fields"));
  if (shown.groups) parts.push(list(shown.groups));
  if (shown.rest) parts.push(make("p", shown.rest));
  if (shown.keys) parts.push(make("p", `state dict: ${shown.keys}`));
  nav.replaceChildren(...parts);
  drawings();
}

function drawings() {
  main.replaceChildren(...(shown.sides || []).map((side, n) => {
    const image = side.images[depth], section = make("section"), box = make("div");
    box.innerHTML = `<svg data-d="0" viewBox="-14 -14 ${image.w + 28} ${image.h + 28}" width="${image.w + 28}" height="${
      image.h + 28}">${image.svg}</svg>`;
    box.querySelectorAll("g[data-i]").forEach(g => {
      const mark = image.marks[`${g.parentNode.closest("[data-d]").dataset.d} ${g.dataset.i}`];
      if (mark) {
        g.dataset.k = mark[0];
        g.entries = new Set(mark.slice(1));
      }
    });
    section.append(make("h2", shown.names[n]), box);
    return section;
  }));
  if (at >= 0) choose(at);
}

const marked = section => [...section.querySelectorAll("g[data-k]")];

function choose(n) {
  at = n;
  rows.forEach((row, i) => row.line.classList.toggle("on", i === n));
  rows[n].line.scrollIntoView({block: "nearest"});
  document.querySelectorAll("main section").forEach(section => {
    const all = marked(section).filter(g => rows[n].entries.some(e => g.entries.has(e)));
    marked(section).forEach(g => g.classList.remove("on"));
    const inner = all.filter(g => !all.some(other => other !== g && g.contains(other)));
    inner.forEach(g => g.classList.add("on"));
    inner[0]?.scrollIntoView({block: "center", inline: "nearest"});
  });
}

main.addEventListener("click", event => {
  const box = event.target.closest("g[data-k]");
  if (!box) return;
  // The deepest line of the list that tells of the box, or of what it holds.
  const fits = rows.map((row, n) => [n, row.entries.filter(e => box.entries.has(e)).length / row.entries.length]);
  const best = fits.filter(f => f[1]).sort((a, b) => b[1] - a[1] || rows[a[0]].entries.length - rows[b[0]].entries.length);
  if (best.length) choose(best[0][0]);
});

const step = by => rows.length && choose((at + by + rows.length) % rows.length);
const level = by => {
  depth = Math.max(0, Math.min((shown.sides?.[0].images.length || 1) - 1, depth + by));
  drawings();
};
const keys = {ArrowDown: () => step(1), ArrowUp: () => step(at < 0 ? 0 : -1), "]": () => level(1), "[": () => level(-1)};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT" || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
$("deeper").onclick = () => level(1);
$("flatter").onclick = () => level(-1);
$("theme").onclick = () => {
  const root = document.documentElement.classList;
  const dark = root.contains("dark") || (!root.contains("light") && matchMedia("(prefers-color-scheme:dark)").matches);
  root.toggle("dark", !dark);
  root.toggle("light", dark);
};

function show(which) {
  shown = which;
  depth = shown.sides ? shown.sides[0].start : 0;
  draw();
}

async function start() {
  const bytes = Uint8Array.from(atob($("data").textContent), c => c.charCodeAt(0));
  D = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  const all = [...D.nets, ...D.recipes];
  all.forEach((one, n) => $("which").append(make("option", one.title, {value: n})));
  $("which").hidden = all.length < 2;
  $("which").onchange = () => show(all[+$("which").value]);
  show(all.find(one => !one.equal) || all[0]);
  $("which").value = all.indexOf(shown);
  document.documentElement.dataset.ready = "";
}
start();
