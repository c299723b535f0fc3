// The tabs: each asks the engine for what it shows of a net, and draws it.
import { python } from "@codemirror/lang-python";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, lineNumbers } from "@codemirror/view";
import { colours } from "./language.js";
import { copier, download, label, make, words } from "./make.js";

function row({ depth, name, repeat, kind, outputs, params, macs, weight, note }, parent, folded, toggle) {
  const fold = parent
    ? make("button", { class: "fold", "aria-label": folded ? "open" : "close", onclick: toggle }, folded ? "▶" : "▼")
    : make("span", { class: "leaf" });
  const times = repeat > 1 ? make("span", { class: "times" }, `× ${repeat}`) : null;
  return make(
    "tr",
    {},
    make("td", { style: `padding-left:${0.3 + depth * 1.1}rem` }, fold, make("code", {}, name), times),
    make("td", { class: "kind" }, note ? `${kind} (${note})` : kind),
    make("td", {}, make("code", {}, outputs)),
    make("td", { class: weight > 0.004 ? "weight" : "", style: `--share:${(100 * weight).toFixed(1)}%` }, params),
    make("td", {}, macs),
  );
}

const OPEN = 30; // rows that are open at first, at most

function tree(data) {
  const { rows } = data;
  const parents = rows.map((r, i) => rows[i + 1]?.depth > r.depth);
  let open = Math.max(...rows.map((r) => r.depth), 0);
  while (open > 0 && rows.filter((r) => r.depth <= open).length > OPEN) open -= 1;
  const folded = rows.map((r, i) => parents[i] && r.depth >= open);
  const body = make("tbody");
  const draw = () => {
    const shown = [];
    let hidden = Infinity;
    rows.forEach((r, i) => {
      if (r.depth > hidden) return;
      hidden = folded[i] ? r.depth : Infinity;
      shown.push(row(r, parents[i], folded[i], () => ((folded[i] = !folded[i]), draw())));
    });
    const inputs = data.inputs.map(([name, type]) =>
      row({ depth: 0, name, repeat: 1, kind: "input", outputs: type, params: "", macs: "", weight: 0 }, false),
    );
    const cells = ["total", "", "", ...data.total].map((text) => make("td", {}, text));
    body.replaceChildren(...inputs, ...shown, make("tr", { class: "total" }, ...cells));
  };
  draw();
  const head = ["layer", "kind", "output", "parameters", "MACs"].map((text) => make("th", {}, text));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), body);
}

async function summary(ask, { net }) {
  const data = await ask("summary", { net });
  if (!data) return null;
  const cards = data.cards.map(([name, text]) =>
    make("div", { class: text.length > 12 ? "long" : "" }, make("small", {}, name), make("strong", {}, text)),
  );
  const list = data.facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]);
  return make(
    "div",
    { class: "pad summary" },
    make("h2", {}, data.net),
    make("p", { class: "doc" }, ...words(data.doc)),
    make("div", { class: "cards" }, ...cards),
    make("div", { class: "scroll" }, tree(data)),
    make("dl", {}, ...list),
  );
}

const marked = StateEffect.define();
const lines = StateField.define({
  create: () => Decoration.none,
  update: (found, change) => change.effects.findLast((effect) => effect.is(marked))?.value ?? found,
  provide: (field) => EditorView.decorations.from(field),
});

/** PyTorch source. A click on a line selects in the spec what it comes from; `follow` hears where the cursor stands there. */
async function torch(ask, { net, editor, follow }) {
  const found = await ask("torch", { net });
  if (found === null) return null;
  const { text, links } = found;
  const bar = make(
    "div",
    { class: "bar" },
    make("span", {}, "model.py"),
    make("span", { class: "space" }),
    copier("Copy", text),
    make("button", { onclick: () => download("model.py", text) }, "Download"),
  );
  const node = make("div", { class: "torch" }, bar);
  const select = EditorView.domEventHandlers({
    click(event, own) {
      const at = own.posAtCoords(event);
      const link = at !== null && own.state.selection.main.empty && byLine.get(own.state.doc.lineAt(at).number);
      if (link) editor.go(link.start, link.end);
    },
  });
  const byLine = new Map(links.map((link) => [link.line, link]));
  const fixed = [EditorState.readOnly.of(true), EditorView.editable.of(false)];
  const shown = new EditorView({ doc: text, parent: node, extensions: [lineNumbers(), python(), colours, lines, select, fixed] });
  const start = (line) => shown.state.doc.line(line).from;
  follow((cursor) => {
    const around = links.filter((link) => link.start <= cursor && cursor <= link.end);
    const size = Math.min(...around.map((link) => link.end - link.start));
    const here = around.filter((link) => link.end - link.start === size);
    const decorations = Decoration.set(here.map(({ line }) => Decoration.line({ class: "cm-linked" }).range(start(line))));
    shown.dispatch({ effects: marked.of(decorations) });
    const panel = node.parentElement;
    if (!here.length || !panel) return;
    const top = shown.dom.offsetTop - panel.offsetTop + shown.lineBlockAt(start(here[0].line)).top;
    const isSeen = panel.scrollTop <= top && top <= panel.scrollTop + panel.clientHeight - 30;
    if (!isSeen) panel.scrollTop = Math.max(0, top - panel.clientHeight / 3);
  });
  return node;
}

let zoom = 1;

async function view(ask, { net }) {
  const text = await ask("view", { net });
  if (text === null) return null;
  const image = make("img", { alt: `The layers of ${net}`, src: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })) });
  const width = Number(/width="([\d.]+)"/.exec(text)?.[1] ?? 0);
  const resize = (factor) => {
    zoom = factor ? Math.min(4, Math.max(0.25, zoom * factor)) : 1;
    image.width = width * zoom;
  };
  resize(1);
  const explore = async () => {
    const page = await ask("page", { net });
    if (page) window.open(URL.createObjectURL(new Blob([page], { type: "text/html" })), "_blank");
  };
  const bar = make(
    "div",
    { class: "bar" },
    make("button", { onclick: () => resize(0.8), "aria-label": "smaller" }, "−"),
    make("button", { onclick: () => resize(1.25), "aria-label": "larger" }, "+"),
    make("button", { onclick: () => resize(0) }, "100%"),
    make("span", { class: "space" }),
    make("button", { onclick: explore, title: "A page with every block, its costs and its source" }, "Explore ↗"),
    make("button", { onclick: () => download(`${net}.svg`, text, "image/svg+xml") }, "SVG"),
  );
  return make("div", {}, bar, make("div", { class: "view" }, image));
}

async function recipe(ask, { recipe: name }) {
  const text = await ask("recipe", { name });
  return text === null ? null : make("pre", { class: "text" }, text);
}

function fixes(problem, editor) {
  return problem.fixes.map((fix) => {
    if (!fix.changes.length) return make("li", {}, ...words(fix.message));
    const click = (event) => (event.stopPropagation(), editor.apply(fix));
    const button = make("button", { class: "fix", onclick: click }, ...words(label(fix)));
    return make("li", {}, ...(label(fix) === fix.message ? [] : [...words(fix.message), " "]), button);
  });
}

async function problems(ask, { checked, editor }) {
  if (!checked.shown.length) return make("div", { class: "empty" }, "No mistakes, no warnings.");
  const list = checked.shown.map((problem) =>
    make(
      "div",
      { class: "problem", onclick: () => editor.go(problem.start) },
      make("span", { class: "at" }, problem.elsewhere || `line ${problem.line}`),
      make("p", {}, make("span", { class: `code ${problem.severity}` }, problem.code), ...words(problem.message)),
      make("ul", {}, ...problem.notes.map((note) => make("li", {}, ...words(note))), ...fixes(problem, editor)),
    ),
  );
  const more = checked.errors + checked.warnings - checked.shown.length;
  if (more > 0) list.push(make("div", { class: "problem" }, `and ${more} more`));
  return make("div", {}, ...list);
}

/** What each tab shows: of a net, of a recipe, or of the text. */
export const TABS = { summary, torch, view, recipe, problems };
