// The engine: downloads Python once, asks the worker one question at a time, and starts another worker where one takes
// too long or dies. A newer question of the same kind takes the place of one that still waits.

/* global ASSETS */
const SECONDS = 10; // for an answer
const BOOT = 120; // seconds for a start

const FIRST = ["check", "glance"]; // what comes before all other questions, the last one first

/** An answer that did not come: the question took too long, or more memory or stack than there is. */
export class Stopped extends Error {}

/** A question that netdsl refuses to answer: its message says why. */
export class Refused extends Error {}

/** Why a worker has failed, in words. */
function reason(failed) {
  if (/call stack|recursion/i.test(failed)) return "it is nested deeper than a browser's stack goes";
  if (/memory/i.test(failed)) return "it takes more memory than a browser gives";
  return failed;
}

async function download(progress) {
  const total = Object.values(ASSETS).reduce((a, b) => a + b, 0);
  let loaded = 0;
  const counted = () =>
    new TransformStream({
      transform(chunk, controller) {
        loaded += chunk.length;
        progress(Math.min(1, loaded / total));
        controller.enqueue(chunk);
      },
    });
  const get = async (name) => {
    const response = await fetch(name);
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    const body = response.body.pipeThrough(counted());
    // A server that says what `.gz` is has it unpacked by the browser already; the first bytes tell.
    const bytes = new Uint8Array(await new Response(body).arrayBuffer());
    if (!name.endsWith(".gz") || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  };
  const [wasm, stdlib, archive, script] = await Promise.all([
    get("python.wasm.gz").then((bytes) => WebAssembly.compile(bytes)),
    get("stdlib.zip"),
    get("python.tar.gz"),
    get("worker.js.gz"),
  ]);
  return { wasm, stdlib, archive, script: URL.createObjectURL(new Blob([script], { type: "text/javascript" })) };
}

export class Engine {
  /** `tell` is called with what the engine does: `loading` (and how far), `starting`, `ready`, `busy`, `broken`. */
  constructor(tell) {
    this.tell = tell;
    this.seconds = SECONDS;
    this.waiting = [];
    this.current = null;
    this.isReady = false;
    this.took = 0; // ms, of the newest check
    this.files = download((part) => tell("loading", part));
    this.files.then(
      () => this.#start(),
      (error) => tell("broken", error.message),
    );
  }

  /** The answer to a question. Null where a newer question of the same kind came before it was asked. */
  ask(question, given = {}) {
    const older = this.waiting.findIndex((w) => w.question === question);
    if (older >= 0) this.waiting.splice(older, 1)[0].resolve(null);
    return new Promise((resolve, reject) => {
      this.waiting.push({ question, given, resolve, reject });
      // What the text amounts to comes before everything that is said of it.
      this.waiting.sort((a, b) => FIRST.indexOf(b.question) - FIRST.indexOf(a.question));
      this.#next();
    });
  }

  async #start() {
    this.tell("starting");
    this.isReady = false;
    const { script, ...boot } = await this.files;
    this.worker = new Worker(script, { type: "module" });
    this.worker.onmessage = ({ data }) => this.#heard(data);
    this.worker.onerror = (event) => this.#end(`the worker has failed: ${event.message}`);
    this.timer = setTimeout(() => this.tell("broken", "Python does not start"), BOOT * 1000);
    this.worker.postMessage({ boot });
  }

  #next() {
    if (!this.isReady || this.current || !this.waiting.length) return;
    this.current = this.waiting.shift();
    const { question, given } = this.current;
    this.tell("busy", question);
    this.timer = setTimeout(() => this.#end(`it took more than ${this.seconds} s`), this.seconds * 1000);
    this.asked = performance.now();
    this.worker.postMessage({ question, given: JSON.stringify(given) });
  }

  #heard(data) {
    if (data.failed !== undefined) return this.#end(reason(data.failed));
    clearTimeout(this.timer);
    if (data.ready) {
      this.isReady = true;
    } else {
      const { question, resolve, reject } = this.current;
      if (question === "check") this.took = performance.now() - this.asked;
      const { value, refused } = JSON.parse(data.answer);
      this.current = null;
      if (refused === undefined) resolve(value);
      else reject(new Refused(refused));
    }
    this.tell("ready");
    this.#next();
  }

  /** End the worker with what it does, and start another one. */
  #end(why) {
    clearTimeout(this.timer);
    this.worker.terminate();
    const lost = this.current;
    this.current = null;
    if (!lost) return this.tell("broken", why);
    this.#start();
    lost.reject(new Stopped(why));
  }
}
