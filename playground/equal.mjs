// Runs commands of netdsl as the page holds it, under node: for the tests. Reads from standard input
// `{site, files, commands}` as JSON: the built page, texts by path, lists of arguments; prints for each command its exit
// code, what it printed, and the files that it wrote below `out`.
import fs from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { loadPyodide } from "pyodide";

const { site, files, commands } = JSON.parse(fs.readFileSync(0, "utf8"));
const py = await loadPyodide({ env: { HOME: "/home", NETDSL_CACHE: "off" }, stdLibURL: path.join(site, "stdlib.zip") });
const archive = new Uint8Array(gunzipSync(fs.readFileSync(path.join(site, "python.tar.gz"))));
py.unpackArchive(archive, "tar", { extractDir: "/netdsl" });
py.globals.set("given", JSON.stringify({ files, commands }));
const found = py.runPython(`
import io, json, os, shutil, sys
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, "/netdsl")
from netdsl.cli.main import main

given = json.loads(given)
os.makedirs("/work")
os.chdir("/work")
for name, text in given["files"].items():
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)

def run(arguments):
    shutil.rmtree("out", ignore_errors=True)
    with redirect_stdout(io.StringIO()) as printed:
        code = main(arguments)
    return code, printed.getvalue(), {str(p): p.read_text() for p in sorted(Path("out").rglob("*.*"))}

json.dumps([run(c) for c in given["commands"]])`);
process.stdout.write(found);
