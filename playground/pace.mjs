// Measures, under node, the CPU time that Python in the page takes after a key: `node pace.mjs SITE < SPECS`, with specs
// by name as JSON on standard input. For each: ms of a check, and of a glance at the last net.
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

const median = (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)];
const found = {};
for (const [name, text] of Object.entries(JSON.parse(fs.readFileSync(0, "utf8")))) {
  const { value } = ask("check", { text, name });
  const checks = [0, 1, 2].map((i) => ask("check", { text: `${text}# ${i}\n`, name }).ms);
  const at = value.nets.at(-1).start + 1;
  const glances = [0, 1, 2].map((i) => ask("glance", { text: `${text}# ${i}\n`, at, name }).ms);
  found[name] = { nets: value.nets.length, check: median(checks), glance: median(glances) };
}
process.stdout.write(JSON.stringify(found));
