// The worker: Python with netdsl. It is given everything it needs, answers one question at a time, and may be ended at
// any moment.
import createPyodideModule from "pyodide/pyodide.asm.mjs";
import { loadPyodide } from "pyodide";

const HOME = "https://netdsl.invalid/"; // Pyodide asks for its files by URL; none of them is fetched from anywhere

async function boot({ wasm, stdlib, archive }) {
  const { fetch } = self;
  self.fetch = (url, options) => (`${url}`.startsWith(HOME) ? Promise.resolve(new Response()) : fetch(url, options));
  WebAssembly.instantiateStreaming = async (_, imports) => ({
    module: wasm,
    instance: await WebAssembly.instantiate(wasm, imports),
  });
  const py = await loadPyodide({
    createPyodideModule,
    indexURL: HOME,
    lockFileContents: LOCK,
    stdLibURL: URL.createObjectURL(new Blob([stdlib])),
    env: { HOME: "/home", NETDSL_CACHE: "off" },
    stdout: () => {},
    stderr: () => {},
  });
  py.unpackArchive(archive, "tar", { extractDir: "/netdsl" });
  py.runPython("import sys; sys.path.insert(0, '/netdsl')");
  const { Session, answer } = py.pyimport("netdsl.playground.session");
  const garbage = py.pyimport("netdsl.garbage");
  garbage.collect_on_request();
  tidy = () => garbage.collect_if_due();
  const session = Session();
  return (question, given) => answer(session, question, given);
}

const IDLE = 1000; // ms without a question before garbage is collected

let answer, tidy, tidying;
self.onmessage = async ({ data }) => {
  clearTimeout(tidying);
  try {
    if (data.boot) {
      answer = await boot(data.boot);
      self.postMessage({ ready: true });
    } else {
      self.postMessage({ answer: answer(data.question, data.given) });
      tidying = setTimeout(tidy, IDLE);
    }
  } catch (error) {
    self.postMessage({ failed: String(error) });
  }
};
