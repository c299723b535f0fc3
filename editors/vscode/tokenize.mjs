// Prints the scopes of every token of the files named on the command line, as JSON: for the tests of the grammar.
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const folder = new URL(".", import.meta.url).pathname;
await oniguruma.loadWASM(fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")).buffer);
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () => {
    const path = `${folder}syntaxes/netdsl.tmLanguage.json`;
    return textmate.parseRawGrammar(fs.readFileSync(path, "utf8"), path);
  },
});
const grammar = await registry.loadGrammar("source.netdsl");
const found = {};
for (const path of process.argv.slice(2)) {
  let stack = textmate.INITIAL;
  found[path] = fs.readFileSync(path, "utf8").split("\n").map((line) => {
    const result = grammar.tokenizeLine(line, stack);
    stack = result.ruleStack;
    return result.tokens.map((t) => [t.startIndex, t.endIndex, t.scopes.at(-1)]);
  });
}
console.log(JSON.stringify(found));
