// Colours of specs: the grammar of the VS Code extension, applied to a line at a time.
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { tags } from "@lezer/highlight";
import grammar from "../../editors/vscode/syntaxes/netdsl.tmLanguage.json";

const STYLES = [
  ["comment", "comment", tags.comment],
  ["string", "string", tags.string],
  ["constant.numeric", "number", tags.number],
  ["constant.language", "constant", tags.bool],
  ["keyword.operator.arrow", "arrow", tags.controlOperator],
  ["keyword.operator.logical", "keyword", tags.keyword],
  ["keyword.operator", "operator", tags.operator],
  ["keyword", "keyword", tags.keyword],
  ["variable.language", "keyword", tags.keyword],
  ["entity.name.type", "type", tags.typeName],
  ["entity.name.namespace", "type", tags.typeName],
  ["entity.name.label", "label", tags.labelName],
  ["entity.name.function", "call", tags.function(tags.variableName)],
  ["variable.parameter", "argument", tags.attributeName],
  ["variable", "name", tags.variableName],
  ["punctuation", "bracket", tags.punctuation],
];

const styleOf = (scope) => STYLES.find(([prefix]) => scope?.startsWith(prefix))?.[1] ?? null;

function* rules(patterns) {
  for (const rule of patterns) {
    if (rule.include) yield* rules([grammar.repository[rule.include.slice(1)]]);
    else if (rule.match) yield { ...rule, regex: new RegExp(rule.match, "dy") };
    else yield* rules(rule.patterns);
  }
}

const RULES = [...rules(grammar.patterns)];

/** The styled parts of a line from an offset on: `[end, style]` each, and where they end. */
function partsAt(line, start) {
  for (const { regex, captures, name } of RULES) {
    regex.lastIndex = start;
    const found = regex.exec(line);
    if (!found?.[0]) continue;
    if (!captures) return [[start + found[0].length, styleOf(name)]];
    const parts = [];
    let at = start;
    for (const [number, { name: scope }] of Object.entries(captures)) {
      const [from, to] = found.indices[number];
      if (from > at) parts.push([from, null]);
      parts.push([to, styleOf(scope)]);
      at = to;
    }
    return parts;
  }
  return null;
}

export const language = StreamLanguage.define({
  name: "netdsl",
  startState: () => ({ parts: [] }),
  copyState: ({ parts }) => ({ parts: [...parts] }),
  token(stream, state) {
    if (stream.sol()) state.parts = [];
    while (state.parts.length && state.parts[0][0] <= stream.pos) state.parts.shift();
    if (!state.parts.length) state.parts = partsAt(stream.string, stream.pos) ?? [];
    if (!state.parts.length) {
      stream.next();
      return null;
    }
    const [end, style] = state.parts.shift();
    stream.pos = end;
    return style;
  },
  tokenTable: Object.fromEntries(STYLES.map(([, name, tag]) => [name, tag])),
  languageData: {
    commentTokens: { line: "#" },
    closeBrackets: { brackets: ["(", "[", "{", '"'] },
    indentOnInput: /^\s*\}$/,
  },
});

const t = tags;
export const colours = syntaxHighlighting(
  HighlightStyle.define([
    { tag: t.comment, color: "var(--code-comment)", fontStyle: "italic" },
    { tag: [t.string], color: "var(--code-string)" },
    { tag: [t.number, t.bool, t.null], color: "var(--code-number)" },
    { tag: [t.keyword, t.self, t.definitionKeyword, t.controlKeyword, t.moduleKeyword], color: "var(--code-keyword)" },
    { tag: t.controlOperator, color: "var(--code-arrow)", fontWeight: "600" },
    { tag: [t.operator, t.punctuation, t.bracket], color: "var(--code-operator)" },
    { tag: [t.typeName, t.className, t.definition(t.className)], color: "var(--code-type)", fontWeight: "600" },
    { tag: t.labelName, color: "var(--code-label)" },
    { tag: [t.function(t.variableName), t.function(t.propertyName)], color: "var(--code-call)" },
    { tag: [t.attributeName], color: "var(--code-argument)" },
  ]),
);
