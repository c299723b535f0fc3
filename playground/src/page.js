// The page: a text goes to the engine after every key, and what comes back goes to the editor and the tabs.
import { Editor } from "./editor.js";
import { Engine, Refused, Stopped } from "./engine.js";
import { make, words } from "./make.js";
import { packed, unpacked } from "./share.js";
import { TABS } from "./tabs.js";

const SLOW = 30; // ms of a check from which on the declaration at the cursor is looked at first
const PAUSE = 120; // ms without a key before a check that takes so long, which cannot be given up for the next key
const REST = 350; // ms without a key before fixes are sought
const $ = (id) => document.getElementById(id);

const START = `# A first net: shapes, parameters and mistakes are shown as you type.
net Small {
  input image [3, 32, 32]
  conv(32, 3, bias=false) -> bn -> relu
  repeat 2 {
    residual {
      conv(32, 3, bias=false) -> bn -> relu
      conv(32, 3, bias=false) -> bn
    }
    relu
  }
  maxpool(2)
  flatten
  linear(10)
}
`;

const kept = {
  get: (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set: (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // a browser that keeps nothing
    }
  },
};

let name = "spec.net";
let checked = { errors: 0, warnings: 0, shown: [], hints: [], lenses: [], nets: [], recipes: [] };
let tab = "summary";
let pause, rest, keyed;
let linked = null; // shows the lines of what is drawn that belong to a place of the text
let isCurrent = false; // whether what is known is of the text as it is

const engine = new Engine(tell);
globalThis.playground = { engine }; // for the console
const editor = new Editor($("editor"), {
  changed: () => {
    keyed = performance.now();
    isCurrent = false;
    delete document.documentElement.dataset.shown;
    delete document.documentElement.dataset.checked;
    kept.set("netdsl-text", editor.text);
    kept.set("netdsl-name", name);
    $("notice").hidden = true;
    clearTimeout(pause);
    clearTimeout(rest);
    const isSlow = engine.took > SLOW;
    if (isSlow) glance();
    pause = setTimeout(check, isSlow ? PAUSE : 0);
  },
  moved: (at) => {
    follow(at);
    if (isCurrent) linked?.(at);
  },
  lens: ({ action, name: of }) => {
    if (action === "next") ask("next_use", { name: of }).then((found) => found && shown(found));
    else if (action === "train") open("recipe", of);
    else open(action, of);
  },
  format,
  complete: (text, at) => ask("complete", { text, at, name }),
  explain: (at) => (isCurrent ? ask("explain", { at }) : null),
});
globalThis.playground.editor = editor;

function tell(state, part) {
  const texts = { loading: "loading Python", starting: "starting Python" };
  $("progress").hidden = state !== "loading";
  if (state === "loading") $("progress").value = part;
  $("engine").textContent = texts[state] ?? "";
  document.documentElement.dataset.engine = state;
  if (state === "broken") {
    const reload = make("button", { onclick: () => location.reload() }, "Reload");
    notice(`Python did not start: ${part}`, reload);
  }
}

function notice(text, ...buttons) {
  $("notice").replaceChildren(make("span", {}, text), ...buttons);
  $("notice").hidden = false;
}

/** The answer to a question; one that was stopped is told, and gives null. */
async function ask(question, given) {
  try {
    return await engine.ask(question, given);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    stopped(error.message);
    return null;
  }
}

function stopped(why) {
  const again = make("button", { onclick: () => (($("notice").hidden = true), check()) }, "Try again");
  notice(`This was stopped: ${why}. The text is kept; change it, or try again.`, again);
  $("status").replaceChildren(make("b", { class: "error" }, "stopped"));
}

async function glance() {
  const text = editor.text;
  const since = keyed;
  const found = await ask("glance", { text, at: editor.cursor, name });
  if (isCurrent || text !== editor.text) return;
  if (!found) {
    clearTimeout(pause);
    return check(); // only a check can say it: of a recipe, or of a text that cannot be read
  }
  editor.glance(found);
  measured(since);
}

async function check() {
  const text = editor.text;
  const since = keyed;
  const found = await ask("check", { text, name });
  if (!found || text !== editor.text) return;
  isCurrent = true;
  shown(found);
  measured(since);
  document.documentElement.dataset.checked = "";
  clearTimeout(rest);
  rest = setTimeout(mend, REST, text);
}

/** Note the time from a key to the first hints that are right for it. */
function measured(since) {
  document.documentElement.dataset.shown ??= Math.round(performance.now() - since);
}

function shown(found) {
  checked = found;
  editor.show(found);
  choices();
  status();
  draw();
}

/** Seek the fixes of what is wrong, one mistake at a time, while nobody types. */
async function mend(text) {
  for (let index = 0; index < checked.shown.length && text === editor.text; index += 1) {
    const mended = await ask("fix", { index, text });
    if (!mended || text !== editor.text) return;
    checked.shown[index] = mended;
    editor.mark(checked.shown);
    if (tab === "problems") draw();
  }
  document.documentElement.dataset.mended = "";
}

function status() {
  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const parts = [];
  if (checked.errors) parts.push(make("b", { class: "error" }, count(checked.errors, "mistake")));
  if (checked.warnings) parts.push(make("b", { class: "warning" }, count(checked.warnings, "warning")));
  if (!parts.length) parts.push(make("b", { class: "good" }, "no mistakes"));
  if (checked.nets.length) parts.push(count(checked.nets.length, "net"));
  parts.push(`checked in ${Math.round(engine.took)} ms`);
  $("status").replaceChildren(...parts.flatMap((part, i) => (i ? [" · ", part] : [part])));
  const total = checked.errors + checked.warnings;
  $("count").textContent = total;
  $("count").hidden = !total;
  $("count").classList.toggle("errors", checked.errors > 0);
}

/** The nets or recipes to choose from, the chosen one kept. */
function choices() {
  const all = tab === "recipe" ? checked.recipes : checked.nets;
  const before = $("net").value;
  $("net").replaceChildren(...all.map(({ name: of }) => make("option", { value: of }, of)));
  if (all.some((a) => a.name === before)) $("net").value = before;
  else follow(editor.cursor);
  $("net").hidden = tab === "problems" || !all.length;
  document.querySelector('[data-tab="recipe"]').hidden = !checked.recipes.length;
}

/** Choose the net that the cursor stands in. */
function follow(at) {
  const all = tab === "recipe" ? checked.recipes : checked.nets;
  const around = isCurrent && all.find(({ start, end }) => start <= at && at <= end);
  if (around && $("net").value !== around.name) {
    $("net").value = around.name;
    draw();
  }
}

function open(which, of) {
  tab = which;
  for (const button of document.querySelectorAll("[data-tab]")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  }
  choices();
  if (of) $("net").value = of;
  draw(true);
}

let drawing = 0;

async function draw(anew = false) {
  const own = ++drawing;
  const panel = $("panel");
  if (anew) panel.replaceChildren();
  panel.classList.add("stale");
  const node = await content().catch((error) => {
    if (!(error instanceof Refused)) throw error;
    return make("div", { class: "empty" }, make("p", {}, ...words(error.message)));
  });
  if (own !== drawing || !node) return;
  if (tab !== "torch") linked = null;
  const top = panel.scrollTop;
  panel.replaceChildren(node);
  panel.scrollTop = anew ? 0 : top;
  panel.classList.remove("stale");
  panel.dataset.drawn = tab;
  if (isCurrent) linked?.(editor.cursor);
}

async function content() {
  const of = $("net").value;
  if (tab === "problems") return TABS.problems(ask, { checked, editor });
  if (tab === "recipe" && checked.recipes.length) return TABS.recipe(ask, { recipe: of });
  const more = { net: of, editor, follow: (show) => (linked = show) };
  if (checked.nets.length) return TABS[tab === "recipe" ? "summary" : tab](ask, more);
  if (!isCurrent) return make("div", { class: "empty" }, "Python is on its way: the first time takes some seconds.");
  return make("div", { class: "empty" }, checked.errors ? "What is wrong comes first." : "There is no net here yet.");
}

async function format() {
  const before = editor.text;
  const text = await ask("format", { text: before });
  if (text && text !== before && before === editor.text) editor.replace(text, { keepCursor: true });
}

async function share() {
  const fragment = await packed(editor.text);
  history.replaceState(null, "", `#${fragment}`);
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    said = "In the address";
  }
  $("share").textContent = said;
  setTimeout(() => ($("share").textContent = "Share"), 1500);
}

function take(text, as, fragment = "") {
  name = as;
  $("name").textContent = as === "spec.net" ? "" : as;
  history.replaceState(null, "", fragment || location.pathname + location.search);
  $("net").replaceChildren();
  editor.replace(text);
}

// The zoo
let specs = null;

async function loadZoo() {
  if (specs) return specs;
  const bytes = new Uint8Array(await (await fetch("zoo.json.gz")).arrayBuffer());
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const body = isPacked ? new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")) : new Blob([bytes]);
  specs = await new Response(body).json();
  return specs;
}

const firstSentence = (text) =>
  (/^#\s*(.*(?:\n#.*)*)/.exec(text)?.[1] ?? "").replaceAll(/\n#\s?/g, " ").split(/(?<=[.:])\s/)[0].replace(/[.:]$/, "");

async function menu(isOpen = $("menu").hidden) {
  $("menu").hidden = !isOpen;
  $("zoo").setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) return;
  const input = $("menu").querySelector("input");
  input.value = "";
  input.focus();
  const zoo = loadZoo(); // what is typed while it comes is kept
  const list = async () => {
    const found = await zoo;
    const wanted = input.value.toLowerCase();
    const matching = found.filter((s) => `${s.name} ${firstSentence(s.text)}`.toLowerCase().includes(wanted));
    matching.sort((a, b) => b.name.startsWith(wanted) - a.name.startsWith(wanted));
    const entry = (s) =>
      make(
        "button",
        { onclick: () => (menu(false), take(s.text, `${s.name}.net`, `#zoo=${s.name}`), editor.view.focus()) },
        make("code", {}, s.name),
        make("span", {}, firstSentence(s.text)),
      );
    $("specs").replaceChildren(...matching.map(entry));
  };
  input.oninput = list;
  input.onkeydown = ({ key }) => key === "Enter" && list().then(() => $("specs").firstChild?.click());
  await list();
}

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  document.documentElement.classList.toggle("light", !dark);
}

async function begin() {
  const chosen = kept.get("netdsl-theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  theme(chosen ? chosen === "dark" : system.matches);
  system.addEventListener("change", () => kept.get("netdsl-theme") || theme(system.matches));
  $("theme").onclick = () => {
    theme(!document.documentElement.classList.contains("dark"));
    kept.set("netdsl-theme", document.documentElement.classList.contains("dark") ? "dark" : "light");
  };
  $("share").onclick = share;
  $("format").onclick = format;
  $("zoo").onclick = () => menu();
  $("net").onchange = () => draw();
  for (const button of document.querySelectorAll("[data-tab]")) button.onclick = () => open(button.dataset.tab);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#menu, #zoo")) menu(false);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && menu(false));
  addEventListener("hashchange", () => read());
  open("summary");
  await read(true);
}

/** Take the text that the address names, or at the first start the one that was here last. */
async function read(isFirst = false) {
  const given = await unpacked(location.hash);
  if (given.text !== undefined) return take(given.text, "spec.net", location.hash);
  const spec = given.zoo && (await loadZoo()).find((s) => s.name === given.zoo);
  if (spec) return take(spec.text, `${spec.name}.net`, location.hash);
  if (given.broken) notice("This link is damaged: no text can be read from it.");
  if (isFirst) take(kept.get("netdsl-text") ?? START, kept.get("netdsl-name") ?? "spec.net", location.hash);
}

begin();
