/// <reference types="node" />
/**
 * The real page in a real browser, headless: lessons are walked to their end, files are opened, nothing is said on the
 * console, axe finds nothing, in the light and in the dark, narrow and wide. Skipped where there is no chromium.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { readDataFile } from "@kreplica/recordings";
import { machineDocument, preset } from "@kreplica/machines";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FIRST, hashOf } from "../src/hash.js";
import { LESSONS } from "../src/model/lessons.js";
import { type ServedSite, servedSite } from "./site.js";

const program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);
const axe = readFileSync(resolve(import.meta.dirname, "../node_modules/axe-core/axe.min.js"), "utf8");
let site: ServedSite;
let browser: Browser | undefined;
/** One page for all that needs no new one, and what it said. */
let page: Page;
const said: string[] = [];

beforeAll(async () => {
  site = await servedSite();
  if (!program) return;
  browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
  page = await opened(hashOf(FIRST));
});
afterAll(async () => {
  await browser?.close();
  site.close();
});

test("what is loaded before the first step is seen is under 110 KB gzipped, and before any is answered under 360 KB", () => {
  const sum = (names: readonly string[]): number => names.reduce((all, name) => all + site.weigh(name), 0);
  expect(sum(["index.html", "page.css", "page.js", "first.json"])).toBeLessThan(110_000);
  expect(sum(["index.html", "page.css", "page.js", "first.json", "worker.js"])).toBeLessThan(360_000);
});

/** A page that throws away nothing of what it says. */
async function opened(hash: string): Promise<Page> {
  const one = await browser!.newPage({ viewport: { width: 1280, height: 900 } });
  one.setDefaultTimeout(60_000);
  one.on("console", (message) => said.push(message.text()));
  one.on("pageerror", (error) => said.push(error.message));
  await one.goto(`${site.address}#${hash}`);
  await one.waitForSelector(".transport");
  return one;
}

/** Waits until the page shows a step, and nothing is under way. */
const shows = (step: number, one = page, length?: number): Promise<unknown> =>
  one.waitForFunction(
    (words) => {
      const { textContent } = document.querySelector(".where")!;
      return textContent.startsWith(words) && !textContent.includes("at work");
    },
    `step ${step} of ${length ?? ""}`,
  );

const idle = (): Promise<unknown> =>
  page.waitForFunction(() => !document.querySelector(".where")!.textContent.includes("at work"));

/** Waits until it shows a moment behind the first store of a step. */
const inStore = (one: Page): Promise<unknown> =>
  one.waitForFunction(() => document.querySelector(".where")!.textContent.includes("then store 1 of"));

const open = (name: string, content: string | Uint8Array): Promise<void> =>
  page.setInputFiles(".file input", { name, mimeType: "application/octet-stream", buffer: Buffer.from(content) });

async function complaints(): Promise<string[]> {
  // Evaluated by the debugger, which the page's content policy does not bind.
  await page.evaluate(`window.axe ?? (() => { ${axe} })()`);
  return page.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes[0].html.slice(0, 200)))`,
  );
}

/**
 * What axe finds and what is wider than the page, narrow and wide; colours, which no width changes, in both schemes.
 */
async function lookedAtEverywhere(): Promise<void> {
  for (const [width, colorScheme] of [
    [360, "light"],
    [1280, "dark"],
    [2560, "light"],
  ] as const) {
    await idle();
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    // Colours go over into the other scheme's: on the way there some words have little contrast.
    await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== "running"));
    expect((await complaints()).join("\n"), `${width} pixels, ${colorScheme}`).toBe("");
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), `${width} pixels`).toBe(true);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}

describe.skipIf(!program)("in chromium", () => {
  test.each(LESSONS)("the lesson $id is walked to its end", async (lesson) => {
    await page.selectOption(".lessons select", lesson.id);
    const first = lesson.operations.length === 0 ? 0 : 19;
    // Of so many: what is still shown may be the end of the lesson before.
    await shows(first, page, 19 + lesson.operations.length + 1);
    let step = first;
    for (; await page.isEnabled(".transport .main");) {
      if (lesson.operations.length === 0 && (await page.isVisible(".violation"))) break;
      await page.click(".transport .main");
      await shows(++step);
    }
    expect(await page.textContent(".violation")).toContain(lesson.invariant);
    // Behind its operations a lesson may have an end, which compares and counts all.
    expect(step).toBeLessThanOrEqual(19 + lesson.operations.length + 1);
  });

  test("axe finds nothing in a plain kernel and in a broken one, and nothing is wider than the page", async () => {
    await page.selectOption(".lessons select", "");
    await shows(19);
    await lookedAtEverywhere();
    await page.selectOption(".lessons select", "mremap-flush");
    await shows(19);
    await page.click(".transport button:last-of-type");
    await page.waitForSelector(".violation");
    await page.waitForSelector(".leads");
    await page.selectOption(".page select", { index: 1 });
    await page.waitForSelector(".copy");
    await lookedAtEverywhere();
  });

  test("the boot is seen and stepped through before the worker is there, and nothing else is fetched for it", async () => {
    const one = await browser!.newPage();
    // It never comes.
    await one.route("**/worker.js", () => undefined);
    // This page's own: one before may still be asking for something.
    const asked = new Set<string>();
    one.on("request", (request) => asked.add(new URL(request.url()).pathname));
    await one.goto(site.address);
    await one.waitForSelector(".transport");
    await shows(19, one);
    await one.click(".transport button:nth-of-type(2)");
    await shows(18, one);
    expect(await one.locator(".tables [aria-expanded]").count()).toBeGreaterThan(0);
    await one.click(".quick button >> nth=0");
    await one.waitForFunction(() => document.querySelector(".where")!.textContent.includes("at work"));
    await one.close();
    expect([...asked].filter((path) => path !== "/worker.js").sort()).toEqual([
      "/",
      "/first.json",
      "/page.css",
      "/page.js",
    ]);
  });

  test("by keyboard along steps and stores, and the address shows another person the same", async () => {
    await page.selectOption(".lessons select", "");
    await shows(19);
    await page.click(".quick button");
    await shows(20);
    const times: number[] = [];
    for (let turn = 0; turn < 8; turn++) {
      await page.click(`.quick button:text-is("${turn % 2 === 0 ? "fork" : "exec"}")`);
      await shows(21 + turn);
      times.push(Number(/(\d+) ms/.exec((await page.textContent(".where small"))!)![1]));
    }
    // Shown, not judged: how loaded the machine is decides too much of it.
    console.log(`a step of the two-node kernel, in the worker: ${times.sort((a, b) => a - b)[4]} ms (median of 8)`);
    await page.keyboard.press("ArrowLeft");
    await shows(27);
    await page.keyboard.press("Shift+ArrowRight");
    await inStore(page);
    // What else is seen: whose tables, which of them opened by hand, which CPU, which folds.
    await page.click('.tabs button:text-is("process 1\'s")');
    await page.click('.tables [aria-expanded="false"] >> nth=0');
    await page.click(".cpu >> nth=3");
    await page.click(".rules summary");
    await page.selectOption(".page select", { index: 2 });
    await page.waitForSelector(".copy");
    await inStore(page);
    const other = await opened(new URL(page.url()).hash.slice(1));
    await inStore(other);
    await other.waitForSelector(".copy");
    for (const part of [".middle", ".right", ".story"])
      expect(await other.textContent(part)).toBe(await page.textContent(part));
    expect(await other.isVisible(".rules dl")).toBe(true);
    await other.close();
  });

  test("a lesson by its name in the address; a copy on each node and a single one tell it side by side", async () => {
    await page.goto(`${site.address}#lesson=int3-handler-gone`);
    await shows(19);
    await page.waitForFunction(
      () => document.querySelector<HTMLSelectElement>(".lessons select")!.value === "int3-handler-gone",
    );
    await page.click('.lesson button:text-is("with a copy on each node")');
    await page.waitForSelector(".violation");
    await page.click('.lesson button:text-is("with a single copy")');
    await page.waitForSelector(".rules .verdict");
    expect(await page.inputValue(".lessons select")).toBe("int3-handler-gone");
    await page.goto(`${site.address}#lesson=none`);
    await page.waitForSelector('[role="alert"]');
    expect(await page.textContent('[role="alert"]')).toContain("There is no lesson none");
    await page.goto(`${site.address}#policy=nobody`);
    await page.waitForFunction(() => document.querySelector('[role="alert"]')?.textContent.includes("nobody"));
    await page.goto(`${site.address}#${hashOf(FIRST)}`);
    await page.waitForFunction(() => document.querySelector('[role="alert"]') === null);
  });

  test("files of one's own are opened and dropped, and nothing of them leaves the browser", async () => {
    const before = site.asked.length;
    await open("mine.json", JSON.stringify(machineDocument(preset("e5-2690v3-2s")!)));
    await page.waitForSelector(".opened");
    await idle();
    expect(await page.locator(".cpu").count()).toBe(48);
    await open("mine.kt.zst", readDataFile("traces/hsw-n16-touch.kt.zst"));
    await page.waitForSelector(".played table");
    await page.click('.played button:text-is("far ▸")');
    await page.waitForSelector(".played tr.here.far");
    // Dropped: what is wrong with it is told, and what was seen stays.
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['{\n"schema": "kreplica.machine/1", "nodes": ['], "broken.json"));
      document.querySelector(".app")!.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    });
    await page.waitForSelector(".trouble");
    expect(await page.textContent(".trouble")).toMatch(/^broken\.json, line 2: .*\. .*\.$/);
    await lookedAtEverywhere();
    expect(await page.textContent(".opened")).toMatch(/e5-2690v3-2s.*mine\.kt\.zst/);
    await page.click('.opened button[aria-label*="recording"]');
    await page.waitForFunction(() => document.querySelector(".played") === null);
    // The machine is in the address; the worker that reads files is all that was fetched.
    const address = page.url();
    expect(address).toContain("machine=e5-2690v3-2s");
    expect([...new Set(site.asked.slice(before))]).toEqual(["/file-worker.js"]);
    const other = await opened(new URL(address).hash.slice(1));
    expect(await other.locator(".cpu").count()).toBe(48);
    await other.close();
  });

  test("a folder is dropped as people drop one, and is a machine; one of other things is refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kreplica-dropped-"));
    const write = (path: string, text: string): void => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    for (const [node, cpus, distance] of [
      [0, "0-2", "10 20"],
      [1, "3-4", "20 10"],
    ] as const) {
      write(`box/node/node${node}/cpulist`, `${cpus}\n`);
      write(`box/node/node${node}/distance`, `${distance}\n`);
      write(`box/node/node${node}/meminfo`, `Node ${node} MemTotal: 4194304 kB\n`);
    }
    // More than a browser tells at a time.
    for (let at = 0; at < 130; at++) write(`modules/kernel/module${at}.ko`, "");
    const wire = await page.context().newCDPSession(page);
    const drop = async (name: string): Promise<void> => {
      const data = { items: [], files: [join(folder, name)], dragOperationsMask: 1 };
      for (const type of ["dragEnter", "dragOver", "drop"] as const)
        await wire.send("Input.dispatchDragEvent", { type, x: 500, y: 300, data });
    };
    try {
      await drop("box");
      await page.waitForFunction(() => document.querySelector(".opened")?.textContent.includes("box"));
      await idle();
      expect(await page.locator(".cpu").count()).toBe(5);
      await drop("modules");
      await page.waitForSelector(".trouble");
      expect(await page.textContent(".trouble")).toMatch(/^modules: A folder .*kreplica modules/);
      expect(await page.locator(".cpu").count()).toBe(5);
    } finally {
      await wire.detach();
      rmSync(folder, { recursive: true });
    }
  });

  test("nothing was said on the console all the while", () => {
    expect(said).toEqual([]);
  });
});
