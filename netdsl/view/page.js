"use strict";
const $ = id => document.getElementById(id), main = document.querySelector("main");
let D, columns, chosen = null, zoom = 1;

const make = (tag, text, attributes = {}) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  return Object.assign(node, attributes);
};

// The column, the card and the index of a box.
const address = box => {
  const frame = box.parentNode.closest("[data-d]");
  return {column: +box.closest("section").dataset.column, card: +frame.dataset.d, i: +box.dataset.i};
};
const item = at => D.cards[at.card].items[at.i];
const boxes = column => [...main.querySelectorAll(`section[data-column="${column}"] g[data-i]`)];
const boxAt = at => boxes(at.column).find(b => { const a = address(b); return a.card === at.card && a.i === at.i; });

function draw() {
  main.replaceChildren(...columns.map((column, number) => {
    const card = D.cards[column.card], image = number ? card : D.images[column.image];
    const section = make("section");
    section.dataset.column = number;
    const head = make("h2", number ? column.title : D.net);
    if (number) head.append(make("button", "×", {title: "close (←)", onclick: () => close(number)}));
    const box = document.createElement("div");
    box.innerHTML = `<svg data-d="${column.card}" viewBox="-14 -14 ${image.w + 28} ${image.h + 28}" width="${
      (image.w + 28) * zoom}" height="${(image.h + 28) * zoom}">${image.svg}</svg>`;
    section.append(head, box);
    return section;
  }));
  columns.slice(1).forEach(column => boxAt(column.from)?.classList.add("open"));
  heat();
  mark();
}

function mark() {
  main.querySelectorAll("g.on").forEach(b => b.classList.remove("on"));
  const box = chosen && boxAt(chosen);
  if (box) {
    box.classList.add("on");
    box.scrollIntoView({block: "nearest", inline: "nearest"});
  }
  panel();
}

function panel() {
  const it = chosen && item(chosen), rows = it ? it.rows : D.rows;
  const list = make("dl");
  rows.forEach(([name, value]) => list.append(make("dt", name), make("dd", value)));
  const hint = it && it.child !== undefined ? "→ or double click: what is inside" : "";
  $("panel").replaceChildren(make("h2", it ? it.title : D.net), list, make("p", hint, {className: "hint"}));
  document.querySelectorAll("#source .on").forEach(l => l.classList.remove("on"));
  if (!it) return;
  for (let n = it.line; n <= it.end; n++) $(`l${it.source}-${n}`)?.classList.add("on");
  $(`l${it.source}-${it.line}`)?.scrollIntoView({block: "nearest"});
}

function choose(at) { chosen = at; mark(); }

function open(at) {
  const it = item(at);
  if (it.child === undefined) return;
  columns = [...columns.slice(0, at.column + 1), {card: it.child, title: it.title, from: at}];
  chosen = {column: at.column + 1, card: it.child, i: 0};
  draw();
  main.scrollLeft = main.scrollWidth;
}

function close(number) {
  chosen = columns[number].from;
  columns = columns.slice(0, number);
  draw();
}

function heat() {
  const by = $("heat").value;
  if (by === "kind") return;
  const all = [...main.querySelectorAll("g[data-i]")], cost = b => item(address(b))[by];
  const most = Math.max(1, ...all.map(cost).filter((c, i) => !all[i].dataset.d));
  all.filter(b => !b.dataset.d).forEach(b => b.querySelectorAll("rect,circle").forEach(r => {
    const share = cost(b) / most;
    r.style.fill = share ? `hsl(${40 - 40 * share} 90% 60% / ${0.12 + 0.75 * share})` : "transparent";
  }));
}

// The way from the net to a box: every definition is drawn once, and is reached where it first stands.
function reach(card, i) {
  const way = [];
  for (let c = card; c !== D.root; c = D.cards[c].parent[0]) way.unshift(D.cards[c].parent);
  columns = columns.slice(0, 1);
  way.forEach(([from, n], column) => columns.push(
    {card: item({card: from, i: n}).child, title: item({card: from, i: n}).title, from: {column, card: from, i: n}}));
  chosen = {column: way.length, card, i};
  draw();
}

function search() {
  const words = $("query").value.toLowerCase().split(/\s+/).filter(Boolean), found = [];
  if (words.length) Object.entries(D.cards).forEach(([id, card]) => card.items.forEach((it, i) => {
    const text = `${it.title} ${it.path} ${it.rows.map(r => r[1]).join(" ")}`.toLowerCase();
    if (words.every(w => text.includes(w))) found.push([+id, i, it]);
  }));
  $("found").replaceChildren(...found.slice(0, 40).map(([id, i, it]) => make("div", `${it.path}  ${it.title}`, {
    onclick: () => { $("query").value = ""; search(); reach(id, i); }})));
  $("found").firstChild?.classList.add("on");
}

function step(by) {
  const column = chosen ? chosen.column : 0, all = boxes(column);
  const at = chosen ? all.indexOf(boxAt(chosen)) : -1;
  if (all.length) choose(address(all[Math.max(0, Math.min(all.length - 1, at + by))]));
}

const resize = factor => { zoom = factor ? Math.min(4, Math.max(0.2, zoom * factor)) : 1; draw(); };
const deeper = by => {
  columns = [{card: D.root, image: Math.max(0, Math.min(D.images.length - 1, columns[0].image + by))}];
  chosen = null;
  draw();
};
const keys = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowRight: () => chosen && open(chosen),
  Enter: () => chosen && open(chosen), ArrowLeft: () => chosen?.column && close(chosen.column),
  Escape: () => choose(null), "+": () => resize(1.25), "=": () => resize(1.25), "-": () => resize(0.8),
  0: () => resize(0), "/": () => $("query").focus(), "]": () => deeper(1), "[": () => deeper(-1),
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "query") {
    if (event.key === "Enter") $("found").firstChild?.click();
    if (event.key === "Enter" || event.key === "Escape") event.target.blur();
  } else if (keys[event.key] && event.target.tagName !== "SELECT") {
    event.preventDefault();
    keys[event.key]();
  }
});
main.addEventListener("click", event => {
  const box = event.target.closest("g[data-i]");
  if (box) choose(address(box));
});
main.addEventListener("dblclick", event => {
  const box = event.target.closest("g[data-i]");
  if (box) open(address(box));
});
main.addEventListener("wheel", event => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  resize(event.deltaY < 0 ? 1.1 : 0.9);
}, {passive: false});
$("query").addEventListener("input", search);
$("heat").addEventListener("change", draw);
$("deeper").onclick = () => deeper(1);
$("flatter").onclick = () => deeper(-1);
$("theme").onclick = () => {
  const root = document.documentElement.classList;
  const dark = root.contains("dark") || (!root.contains("light") && matchMedia("(prefers-color-scheme:dark)").matches);
  root.toggle("dark", !dark);
  root.toggle("light", dark);
};
async function start() {
  const bytes = Uint8Array.from(atob($("data").textContent), c => c.charCodeAt(0));
  D = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  columns = [{card: D.root, image: D.start}];
  D.sources.forEach(([name, text], source) => list(name, text, source));
  draw();
  document.documentElement.dataset.ready = "";
}

function list(name, text, source) {
  $("source").append(make("h3", name));
  text.split("\n").forEach((line, n) => {
    const row = make("div", line || " ", {id: `l${source}-${n + 1}`});
    row.onclick = () => {
      let best = null;
      Object.entries(D.cards).forEach(([id, card]) => card.items.forEach((it, i) => {
        if (it.source === source && it.line <= n + 1 && n + 1 <= it.end && (!best || it.end - it.line < best[2]))
          best = [+id, i, it.end - it.line];
      }));
      if (best) reach(best[0], best[1]);
    };
    $("source").append(row);
  });
}
start();
