/**
 * How long the explorer takes to load on a slow computer behind a slow line: sites in turn, medians told. The line is
 * the server's, so that what a worker fetches is slow alike: bytes of all answers are paced together, each answer is
 * late by a round trip, and by one more on a new connection. The computer is slow by being stopped: all processes of
 * the browser run in one of N parts of the time (a debugger's throttling slows the page alone, not its workers).
 *
 *   node scripts/load-time.mjs [--cpu 4] [--mbit 10] [--round-trip 40] [--rounds 5] [FOLDER ...]
 *
 * Milliseconds since the navigation began: painted, something stands there; shown, the first step does; stepped, a step
 * back, asked for at once, does; done, an operation, asked for at once after that, has been done on the kernel.
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { chromium } from "playwright-core";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cpu: { type: "string", default: "4" },
    mbit: { type: "string", default: "10" },
    "round-trip": { type: "string", default: "40" },
    rounds: { type: "string", default: "5" },
  },
});
const [slower, roundTrip, rounds] = [values.cpu, values["round-trip"], values.rounds].map(Number);
const bytesPerMillisecond = (Number(values.mbit) * 1e6) / 8 / 1000;
const folders = positionals.length > 0 ? positionals : [join(dirname(fileURLToPath(import.meta.url)), "../dist/site")];
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".json": "application/json",
};
/** Bytes that are sent at a time. */
const PIECE = 4096;
/** Milliseconds that the browser runs at a time. */
const TURN = 4;
const MOMENTS = ["painted", "shown", "stepped", "done"];

/** A site behind the line. */
async function siteBehindLine(folder) {
  const packed = new Map();
  const known = new WeakSet();
  let free = 0;
  let bytes = 0;
  const server = createServer((request, response) => {
    const name = new URL(request.url, "http://localhost").pathname.slice(1) || "index.html";
    if (!existsSync(join(folder, name))) return void response.writeHead(404).end();
    const body = packed.get(name) ?? gzipSync(readFileSync(join(folder, name)), { level: 9 });
    packed.set(name, body);
    bytes += body.length;
    const late = known.has(request.socket) ? roundTrip : 2 * roundTrip;
    known.add(request.socket);
    const send = (at) => {
      if (at >= body.length) return void response.end();
      const piece = body.subarray(at, at + PIECE);
      const now = performance.now();
      free = Math.max(free, now) + piece.length / bytesPerMillisecond;
      setTimeout(() => {
        response.write(piece);
        send(at + PIECE);
      }, free - now);
    };
    setTimeout(() => {
      response.writeHead(200, {
        "content-type": TYPES[extname(name)] ?? "text/plain",
        "content-encoding": "gzip",
        "cache-control": "no-store",
      });
      send(0);
    }, late);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    address: `http://127.0.0.1:${server.address().port}/`,
    /** Bytes since it was asked last. */
    sent() {
      const sent = bytes;
      bytes = 0;
      return sent;
    },
  };
}

/** Slows a group of processes. @returns ends it, and says how many times slower they were */
function slowed(group) {
  if (slower <= 1) return () => 1;
  const began = performance.now();
  let since = began;
  let running = 0;
  let stopped = false;
  let timer;
  const turn = () => {
    const now = performance.now();
    if (!stopped) running += now - since;
    stopped = !stopped;
    process.kill(-group, stopped ? "SIGSTOP" : "SIGCONT");
    since = now;
    // What ran too long stands still for it.
    timer = setTimeout(turn, stopped ? Math.max(1, slower * running - (now - began)) : TURN);
  };
  timer = setTimeout(turn, TURN);
  return () => {
    globalThis.clearTimeout(timer);
    if (!stopped) running += performance.now() - since;
    process.kill(-group, "SIGCONT");
    return (performance.now() - began) / running;
  };
}

/** In the page, before all else: notes when something is seen, and asks for the next. */
function watch() {
  const seen = {};
  globalThis.seen = seen;
  const look = () => {
    const words = globalThis.document.querySelector(".where")?.textContent ?? "";
    if (words === "" || words.includes("at work")) return;
    if (seen.shown === undefined && globalThis.document.querySelector(".tables")) {
      seen.shown = performance.now();
      globalThis.document.querySelector(".transport button:nth-of-type(2)").click();
    } else if (seen.stepped === undefined && words.startsWith("step 18 ")) {
      seen.stepped = performance.now();
      globalThis.document.querySelector(".quick button").click();
    } else if (seen.done === undefined && words.startsWith("step 20 ")) seen.done = performance.now();
  };
  new globalThis.MutationObserver(look).observe(globalThis.document, {
    childList: true,
    subtree: true,
    characterData: true,
  });
}

async function load(site) {
  const server = await chromium.launchServer({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const browser = await chromium.connect(server.wsEndpoint());
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.addInitScript(watch);
    site.sent();
    const end = slowed(server.process().pid);
    await page.goto(site.address, { waitUntil: "commit", timeout: 60_000 });
    await page.waitForFunction(() => globalThis.seen?.done !== undefined, undefined, { timeout: 60_000, polling: 100 });
    const factor = end();
    const painted = await page.evaluate('performance.getEntriesByName("first-contentful-paint")[0]?.startTime');
    return { painted, ...(await page.evaluate("seen")), factor, bytes: site.sent() };
  } finally {
    await server.close();
  }
}

const medianOf = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const sites = await Promise.all(folders.map((folder) => siteBehindLine(resolve(folder))));
const found = sites.map(() => []);
for (let round = 0; round < rounds; round++) for (const [at, site] of sites.entries()) found[at].push(await load(site));
for (const [at, all] of found.entries()) {
  const told = MOMENTS.map((moment) => {
    const times = all.map((each) => each[moment]);
    const [least, median, most] = [Math.min(...times), medianOf(times), Math.max(...times)].map(Math.round);
    return `${moment} ${median} (${least} to ${most})`;
  });
  const factor = medianOf(all.map((each) => each.factor)).toFixed(2);
  console.log(`${folders[at]}: ${told.join(", ")}; ${factor} times slower; ${all[0].bytes} bytes`);
}
process.exit(0);
