// Drives the page in the system's Chromium: for the tests. `node drive.mjs URL SCENARIO` prints what was seen, as JSON.
import fs from "node:fs";
import { chromium } from "playwright-core";

const PATIENCE = 120_000; // ms: a machine may have other things to do
const LIMIT = 15; // s for an answer to a hostile spec, before its worker is ended
const [url, scenario, ...rest] = process.argv.slice(2);
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const visitor = () => browser.newContext({ viewport: { width: 1280, height: 800 } });
const context = await visitor();
const problems = [];

async function open(address = url, from = context) {
  const page = await from.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => {
    if (/^https?:/.test(request.url()) && !request.url().startsWith(url)) problems.push(`asks for ${request.url()}`);
  });
  await page.goto(address);
  await page.evaluate(() => (playground.engine.seconds = 120));
  await page.waitForSelector("html[data-checked]");
  return page;
}

const text = (page) => page.evaluate(() => localStorage.getItem("netdsl-text")); // as it was typed last
const hints = (page) => page.$$eval(".cm-hint", (all) => all.map((hint) => hint.textContent));
const drawn = (page, tab) => page.waitForSelector(`#panel[data-drawn="${tab}"]:not(.stale)`);
const status = (page) => page.textContent("#status");

/** Paste a text over the whole of the editor's, and wait until it is checked, or stopped. */
async function paste(page, spec) {
  await page.evaluate((text) => playground.editor.replace(text), spec);
  await page.waitForSelector("html[data-checked], #notice:not([hidden])");
}

/** Put a text into the editor as keys do, and wait until it is checked, or stopped. */
async function write(page, spec) {
  await page.evaluate(() => delete document.documentElement.dataset.mended);
  await page.click(".cm-content");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(spec);
  await page.waitForSelector("html[data-checked], #notice:not([hidden])");
}

const BROKEN = "net Small {\n  input image [3, 32, 32]\n  conv(16, 3) -> relu\n  flaten\n  linear(10)\n}\n";

const scenarios = {
  /** What a visitor does: types, mends by a click, looks at every tab, takes a net of the zoo, shares a link. */
  async visit() {
    const page = await open();
    const seen = { start: { status: await status(page), hints: await hints(page) } };
    await drawn(page, "summary");
    await write(page, BROKEN);
    await page.waitForSelector("html[data-mended]");
    seen.broken = { status: await status(page), hints: await hints(page), marks: await page.$$eval(".cm-lintRange-error", (m) => m.map((x) => x.textContent)) };
    await page.click('[data-tab="problems"]');
    await page.click(".problem .fix");
    await page.waitForFunction(() => document.getElementById("status").textContent.startsWith("no mistakes"));
    seen.mended = { text: await text(page), hints: await hints(page) };
    for (const key of ["ControlOrMeta+Home", ...Array(4).fill("ArrowDown"), "End"]) await page.keyboard.press(key);
    await page.keyboard.type(" -> softmax", { delay: 20 });
    await page.waitForFunction(() => [...document.querySelectorAll(".cm-hint")].at(-1)?.textContent === "[10]");
    seen.typed = await text(page);
    await page.click("#share");
    await page.waitForFunction(() => location.hash.startsWith("#spec="));
    const link = page.url();
    await page.evaluate(() => localStorage.clear());
    const other = await open(link);
    seen.shared = await text(other);
    await other.click("#zoo");
    await other.fill("#menu input", "lenet");
    await other.keyboard.press("Enter");
    await other.waitForFunction(() => document.getElementById("name").textContent === "lenet.net");
    await other.waitForSelector('[data-tab="recipe"]:not([hidden])');
    seen.zoo = { lenses: await other.$$eval(".cm-lens", (all) => all.map((lens) => lens.textContent)) };
    seen.tabs = {};
    for (const tab of ["summary", "torch", "recipe", "problems"]) {
      await other.click(`[data-tab="${tab}"]`);
      await drawn(other, tab);
      seen.tabs[tab] = (await other.textContent("#panel")).slice(0, 4000);
    }
    await other.click('[data-tab="torch"]');
    await drawn(other, "torch");
    await other.click(".torch .cm-line:has-text('self.conv2 =')");
    await other.waitForSelector(".torch .cm-linked");
    seen.linked = {
      selected: await other.evaluate(() => {
        const { state } = playground.editor.view;
        return state.sliceDoc(state.selection.main.from, state.selection.main.to);
      }),
      marked: await other.$$eval(".torch .cm-linked", (all) => all.map((line) => line.textContent.trim())),
    };
    await other.click('[data-tab="view"]');
    await other.waitForFunction(() => document.querySelector(".view img")?.naturalHeight > 100);
    await other.selectOption("#net", { index: 1 });
    await other.waitForFunction(() => document.querySelector(".view img")?.alt.endsWith(document.getElementById("net").value));
    seen.weight = await other.evaluate(() =>
      performance.getEntriesByType("resource").reduce((sum, entry) => sum + entry.encodedBodySize, 0),
    );
    return seen;
  },

  /** What is said where the mouse rests, and what is offered while a word is typed. */
  async words() {
    const page = await open();
    await write(page, BROKEN.replace("flaten", "flatten"));
    const { x, y } = await (await page.$(".cm-line span:text-is('conv')")).boundingBox();
    for (const step of [4, 8]) await page.mouse.move(x + step, y + step);
    await page.waitForSelector(".cm-explained");
    const seen = { explained: await page.textContent(".cm-explained") };
    for (const key of ["ControlOrMeta+Home", ...Array(2).fill("ArrowDown"), "End"]) await page.keyboard.press(key);
    await page.keyboard.type(" -> maxp", { delay: 60 });
    await page.waitForSelector(".cm-tooltip-autocomplete");
    seen.offered = await page.$$eval(".cm-completionLabel", (all) => all.map((one) => one.textContent));
    await page.waitForTimeout(200);
    await page.keyboard.press("Enter");
    seen.text = await text(page);
    return seen;
  },

  /** A check that is stopped by its limit: the text stays, another worker answers. */
  async stopped() {
    const page = await open();
    await page.evaluate(() => (playground.engine.seconds = 0.001));
    await write(page, BROKEN);
    await page.waitForSelector("#notice:not([hidden])");
    const seen = { notice: await page.textContent("#notice"), kept: (await text(page)) === BROKEN };
    await page.evaluate(() => (playground.engine.seconds = 60));
    await write(page, BROKEN.replace("flaten", "flatten"));
    await page.waitForFunction(() => document.getElementById("status").textContent.startsWith("no mistakes"));
    return { ...seen, after: await hints(page) };
  },

  /** Specs by name in a file: what the page says of each, and whether it answers after it. Two pages share them. */
  async hostile() {
    const waiting = Object.entries(JSON.parse(fs.readFileSync(rest[0], "utf8")));
    const seen = {};
    const share = async () => {
      const page = await open(url, await visitor()); // each with a memory of its own
      await page.evaluate((seconds) => (playground.engine.seconds = seconds), LIMIT);
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [name, spec] = next;
        console.error(name); // for whoever waits
        const begun = Date.now();
        await paste(page, spec);
        const kept = await page.evaluate((text) => playground.editor.text === text, spec);
        seen[name] = { status: await status(page), kept };
        await paste(page, BROKEN.replace("flaten", "flatten"));
        seen[name] = { ...seen[name], after: await status(page), seconds: (Date.now() - begun) / 1000 };
      }
    };
    await Promise.all([share(), share()]);
    return seen;
  },

  /** The time from a key in a net to the hints, over specs by name in a file: ms of several keys each. */
  async keys() {
    const page = await open();
    const seen = {};
    for (const [name, spec] of Object.entries(JSON.parse(fs.readFileSync(rest[0], "utf8")))) {
      await write(page, spec);
      await page.keyboard.press("ControlOrMeta+Home");
      const line = spec.split("\n").findLastIndex((text) => /^  .*[a-z]/.test(text) && !/[{}#]/.test(text));
      for (let i = 0; i < line; i += 1) await page.keyboard.press("ArrowDown");
      await page.keyboard.press("End");
      seen[name] = [];
      for (let i = 0; i < 5; i += 1) {
        await page.waitForTimeout(600);
        await page.keyboard.type("#");
        await page.waitForSelector("html[data-shown]");
        seen[name].push(Number(await page.getAttribute("html", "data-shown")));
      }
    }
    return seen;
  },
};

try {
  const seen = await scenarios[scenario]();
  process.stdout.write(JSON.stringify({ seen, problems }));
} catch (error) {
  // What the page looked like, for whoever reads the test's output.
  for (const page of browser.contexts().flatMap((c) => c.pages())) console.error(await page.innerText("body"));
  throw error;
} finally {
  await browser.close();
}
