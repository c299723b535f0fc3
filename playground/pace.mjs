// Measures, under node, the CPU time that Python in the page takes after a key: `node pace.mjs SITE < SPECS`, with specs
// by name as JSON on standard input. For each: ms of a check, and of a glance, after a key in its last plain statement.
import fs from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { loadPyodide } from "pyodide";

const [site] = process.argv.slice(2);
const py = await loadPyodide({ env: { HOME: "/home", NETDSL_CACHE: "off" }, stdLibURL: path.join(site, "stdlib.zip") });
const archive = new Uint8Array(gunzipSync(fs.readFileSync(path.join(site, "python.tar.gz"))));
py.unpackArchive(archive, "tar", { extractDir: "/netdsl" });
py.runPython("import sys; sys.path.insert(0, '/netdsl')");
const { Session, answer } = py.pyimport("netdsl.playground.session");
py.pyimport("netdsl.garbage").collect_on_request();
const session = Session();

function ask(question, given) {
  const before = process.cpuUsage();
  const { value } = JSON.parse(answer(session, question, JSON.stringify(given)));
  const { user, system } = process.cpuUsage(before);
  return { value, ms: (user + system) / 1000 };
}

/** The end of the last line that is a statement by itself, as drive.mjs types there. */
function lastStatement(text) {
  const lines = text.split("\n");
  const line = lines.findLastIndex((one) => /^  .*[a-z]/.test(one) && !/[{}#]/.test(one));
  return lines.slice(0, line + 1).join("\n").length;
}

const median = (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)];
const found = {};
for (const [name, text] of Object.entries(JSON.parse(fs.readFileSync(0, "utf8")))) {
  const { value } = ask("check", { text, name });
  const at = lastStatement(text);
  const typed = [1, 2, 3, 4, 5].map((i) => `${text.slice(0, at)}${"#".repeat(i)}${text.slice(at)}`);
  const glances = typed.map((text) => ask("glance", { text, at, name }).ms);
  const checks = typed.map((text) => ask("check", { text, name }).ms);
  found[name] = { nets: value.nets.length, check: median(checks), glance: median(glances) };
}
process.stdout.write(JSON.stringify(found));
