// The editor: a text with colours, what is wrong underlined, and what netdsl knows beside and above its lines.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, foldKeymap, indentUnit } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap,
  lineNumbers,
} from "@codemirror/view";
import { colours, language } from "./language.js";
import { label, make, markdown, words } from "./make.js";

class Hint extends WidgetType {
  constructor({ text, more }) {
    super();
    Object.assign(this, { text, more });
  }
  eq(other) {
    return other.text === this.text && other.more === this.more;
  }
  toDOM() {
    return make("span", { class: "cm-hint", title: this.more || undefined, "aria-hidden": "true" }, this.text);
  }
}

class Lenses extends WidgetType {
  constructor(all, chosen) {
    super();
    Object.assign(this, { all, chosen });
  }
  eq(other) {
    return JSON.stringify(other.all) === JSON.stringify(this.all);
  }
  toDOM() {
    const links = this.all.map((lens) => make("a", { onclick: () => this.chosen(lens) }, lens.text));
    return make("div", { class: "cm-lens" }, ...links);
  }
  ignoreEvent() {
    return true;
  }
}

const beside = StateEffect.define();
const decorations = StateField.define({
  create: () => Decoration.none,
  update(found, change) {
    found = found.map(change.changes);
    for (const effect of change.effects) if (effect.is(beside)) found = effect.value;
    return found;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** The kinds of completions by the numbers of the Language Server Protocol, as the editor calls them. */
const KINDS = {
  3: "function", 4: "class", 5: "property", 6: "variable", 7: "class", 9: "namespace", 10: "property", 14: "keyword",
  20: "enum", 21: "constant", 22: "class", 23: "type",
};

/** Completions from `complete(text, at)`: while a word is typed, behind what opens an argument, or when asked for. */
function completions(complete) {
  return async (context) => {
    const word = context.matchBefore(/\w*/);
    const before = context.state.sliceDoc(context.state.doc.lineAt(word.from).from, word.from);
    if (!context.explicit && word.from === word.to && !/[(,=]\s?$|->\s$/.test(before)) return null;
    const found = await complete(context.state.doc.toString(), context.pos);
    if (!found?.length) return null;
    const options = found.map(({ label: name, kind, detail, doc, text }) => ({
      label: name, type: KINDS[kind], detail: detail.length > 48 ? undefined : detail || undefined, apply: text ?? name,
      info: doc ? () => make("div", { class: "doc" }, ...markdown(doc)) : undefined,
    }));
    return { from: word.from, options, validFor: /^\w*$/ };
  };
}

/** What a word means, from `explain(at)`, where the mouse rests. */
function explanations(explain) {
  return hoverTooltip(async (view, at) => {
    const found = await explain(at);
    if (!found) return null;
    const create = () => ({ dom: make("div", { class: "doc cm-explained" }, ...markdown(found.text)) });
    return { pos: found.start, end: found.end, above: true, create };
  });
}

const SEVERITIES = { error: "error", warning: "warning", note: "info" };

/** A diagnostic as the editor takes it, with a button for each fix. */
function diagnostic(problem, apply, length) {
  const clamp = (at) => Math.min(at, length);
  return {
    from: clamp(problem.start),
    to: clamp(Math.max(problem.end, problem.start)),
    severity: SEVERITIES[problem.severity],
    message: problem.message,
    renderMessage: () =>
      make(
        "div",
        {},
        make("div", {}, ...words(problem.message)),
        ...problem.notes.map((note) => make("div", { class: "hint" }, ...words(note))),
        ...problem.fixes.filter((f) => !f.changes.length || label(f) !== f.message).map((f) => make("div", { class: "hint" }, ...words(f.message))),
      ),
    actions: problem.fixes
      .filter((fix) => fix.changes.length)
      .map((fix) => ({ name: label(fix).replaceAll("`", ""), apply: () => apply(fix) })),
  };
}

export class Editor {
  /** `changed` is called with every new text, `moved` with every place of the cursor, `lens` with a lens clicked. */
  constructor(parent, { changed, moved, lens, format, complete, explain }) {
    this.lens = lens;
    this.view = new EditorView({
      parent,
      state: EditorState.create({
        extensions: [
          lineNumbers(), lintGutter(), history(), drawSelection(), bracketMatching(), closeBrackets(),
          highlightActiveLine(), highlightActiveLineGutter(), highlightSelectionMatches(), indentUnit.of("  "),
          EditorState.tabSize.of(2), language, colours, decorations,
          autocompletion({ override: [completions(complete)] }), explanations(explain),
          EditorView.contentAttributes.of({ "aria-label": "spec", spellcheck: "false", autocapitalize: "off" }),
          keymap.of([
            { key: "Shift-Alt-f", run: () => (format(), true) },
            ...completionKeymap, ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap,
            indentWithTab,
          ]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed(this.text);
            else if (update.selectionSet) moved(this.cursor);
          }),
        ],
      }),
    });
  }

  get text() {
    return this.view.state.doc.toString();
  }

  get cursor() {
    return this.view.state.selection.main.head;
  }

  /** Put another text in place of the whole one. */
  replace(text, { keepCursor = false } = {}) {
    const selection = { anchor: keepCursor ? Math.min(this.cursor, text.length) : 0 };
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text }, selection });
    if (!keepCursor) this.view.scrollDOM.scrollTop = 0;
  }

  /** Show what a check of this very text has found. */
  show({ shown, hints, lenses }) {
    const length = this.view.state.doc.length;
    const widgets = hints
      .filter((hint) => hint.at <= length)
      .map((hint) => Decoration.widget({ widget: new Hint(hint), side: 1 }).range(hint.at));
    const above = Map.groupBy(lenses, (lens) => this.view.state.doc.lineAt(Math.min(lens.at, length)).from);
    for (const [from, all] of above) {
      const widget = new Lenses(all, this.lens);
      widgets.push(Decoration.widget({ widget, side: -1, block: true }).range(from));
    }
    this.view.dispatch({ effects: beside.of(Decoration.set(widgets, true)) });
    this.mark(shown);
  }

  /** Show the hints of one declaration in the place of those that it had. */
  glance({ start, end, hints }) {
    const widgets = hints.map((hint) => Decoration.widget({ widget: new Hint(hint), side: 1 }).range(hint.at));
    const filter = (from, to, { spec }) => from < start || from > end || spec.block;
    const found = this.view.state.field(decorations).update({ add: widgets, sort: true, filter });
    this.view.dispatch({ effects: beside.of(found) });
  }

  /** Underline problems. */
  mark(shown) {
    const length = this.view.state.doc.length;
    const found = shown.map((problem) => diagnostic(problem, (fix) => this.apply(fix), length));
    this.view.dispatch(setDiagnostics(this.view.state, found));
  }

  /** Make the changes of a fix, as one step that can be undone. */
  apply(fix) {
    const changes = fix.changes.map(({ start, end, text }) => ({ from: start, to: end, insert: text }));
    this.view.dispatch({ changes, userEvent: "input.fix" });
    this.view.focus();
  }

  /** Put the cursor somewhere, in sight, or select what ends at `end`. */
  go(at, end = at) {
    const [anchor, head] = [at, end].map((place) => Math.min(place, this.view.state.doc.length));
    this.view.dispatch({ selection: { anchor, head }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
    this.view.focus();
  }
}
