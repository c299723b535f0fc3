// Builds the page into a folder that any static server can serve: node build.mjs OUT WHEEL...
// The wheels are those of netdsl, lark and msgspec. What is large is compressed here and unpacked by the page, so that
// it weighs the same whatever the server does.
import { build } from "esbuild";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import { loadPyodide } from "pyodide";

const LIMIT = 8_000_000; // bytes over the wire
const [out, ...wheels] = process.argv.slice(2);
const here = import.meta.dirname;
const pyodide = path.dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
const read = (file) => new Uint8Array(fs.readFileSync(file));

// Runs in Python: packs the modules of the wheels, and the standard library without what no page has a use for.
const PACK = `
import io, json, sys, tarfile, zipfile
from pathlib import Path

root, site = Path("/pack"), Path("/pack/site")
sys.path.insert(0, str(site))
from netdsl.loader import zoo


def is_used(name):
    return not any(part in name for part in ("__pycache__", ".dist-info", "netdsl/training"))

with tarfile.open(root / "python.tar", "w") as archive:
    for path in sorted(p for p in site.rglob("*") if p.is_file() and is_used(str(p))):
        entry = tarfile.TarInfo(str(path.relative_to(site)))
        entry.size, entry.mode = path.stat().st_size, 0o600
        archive.addfile(entry, io.BytesIO(path.read_bytes()))

UNUSED = ("_pyrepl/", "doctest", "encodings/cp", "encodings/mac", "idlelib/", "imaplib", "mailbox", "pdb", "pydoc",
          "smtplib", "unittest/", "wsgiref/", "xmlrpc/")
with zipfile.ZipFile("/pack/in.zip") as given, zipfile.ZipFile("/pack/stdlib.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as kept:
    for name in given.namelist():
        if not name.startswith(UNUSED):
            kept.writestr(zipfile.ZipInfo(name), given.read(name), zipfile.ZIP_DEFLATED, 9)

def entry(name, path):
    text = Path(path).read_text()
    return {"name": name, "text": text}

json.dumps([entry(n, p) for n, p in zoo().items()])
`;

async function python() {
  const py = await loadPyodide({ env: { HOME: "/home" } });
  for (const wheel of wheels) py.unpackArchive(read(wheel), "wheel", { extractDir: "/pack/site" });
  py.FS.writeFile("/pack/in.zip", read(path.join(pyodide, "python_stdlib.zip")));
  const menu = py.runPython(PACK);
  return { archive: py.FS.readFile("/pack/python.tar"), stdlib: py.FS.readFile("/pack/stdlib.zip"), menu };
}

const put = (name, data) => fs.writeFileSync(path.join(out, name), data);
const zip = (data) => gzipSync(data, { level: 9 });

fs.rmSync(out, { recursive: true, force: true });
fs.mkdirSync(out, { recursive: true });
const { archive, stdlib, menu } = await python();
const { info } = JSON.parse(fs.readFileSync(path.join(pyodide, "pyodide-lock.json"), "utf8"));
put("python.tar.gz", zip(archive));
put("stdlib.zip", stdlib);
put("python.wasm.gz", zip(read(path.join(pyodide, "pyodide.asm.wasm"))));
put("zoo.json.gz", zip(menu));

const options = { bundle: true, format: "esm", minify: true, write: false, target: "es2022", legalComments: "none" };
const worker = await build({
  ...options,
  entryPoints: [path.join(here, "src/worker.js")],
  external: ["node:*", "ws"],
  define: { LOCK: JSON.stringify({ info, packages: {} }) },
});
put("worker.js.gz", zip(worker.outputFiles[0].contents));
const assets = ["python.tar.gz", "stdlib.zip", "python.wasm.gz", "worker.js.gz", "zoo.json.gz"];
const sizes = Object.fromEntries(assets.map((name) => [name, fs.statSync(path.join(out, name)).size]));
const page = await build({
  ...options,
  entryPoints: [path.join(here, "src/page.js")],
  loader: { ".json": "json" },
  define: { ASSETS: JSON.stringify(sizes) },
});
put("page.js", page.outputFiles[0].contents);
for (const name of ["index.html", "style.css"]) put(name, read(path.join(here, "src", name)));

const names = fs.readdirSync(out).sort();
const bytes = names.map((name) => fs.statSync(path.join(out, name)).size);
const total = bytes.reduce((a, b) => a + b, 0);
names.forEach((name, i) => console.log(`${name.padEnd(16)} ${(bytes[i] / 1e6).toFixed(2)} MB`));
console.log(`${out}: ${(total / 1e6).toFixed(2)} MB over the wire (at most ${LIMIT / 1e6} MB)`);
if (total > LIMIT) process.exit(1);
