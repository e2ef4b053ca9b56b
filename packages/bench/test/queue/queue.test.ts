/// <reference types="node" />
/** What the queue refuses before a Redis is asked, and how what is watched is printed. With a Redis: queue.proof. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { planFromText } from "@kreplica/sweep";
import { afterAll, describe, expect, test } from "vitest";
import { FileCache, LackingFile } from "../../src/queue/files.js";
import { JobMaker, jobName } from "../../src/queue/job.js";
import { queueAddress, queueLibraries, type Redis, shownAddress } from "../../src/queue/redis.js";
import { sightText } from "../../src/queue/watch.js";
import { accepted } from "../../src/queue/work.js";
import { cellsOf, sha256 } from "../../src/sweep/cells.js";
import { worksOf } from "../../src/sweep/run-batches.js";
import { invoke } from "../invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-queue-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "plan.yaml");
const TEXT =
  "schema: kreplica.sweep/1\naxes: { machine: [tiny-2-node], recording: [kill], policy: [per-node, text-only] }\n";
writeFileSync(file, TEXT);

const VERSION = "a".repeat(64);
const job = new JobMaker("b".repeat(64), VERSION).jobOf(
  worksOf(cellsOf(planFromText(TEXT, file, "schema"), file, VERSION), false)[0]!,
);

describe("a worker takes data and nothing else", () => {
  test("a job of a sweep, as it comes out of Redis", () => {
    expect(accepted(JSON.parse(JSON.stringify(job)), VERSION, new Set())).toEqual(job);
    expect(JSON.stringify(job)).not.toContain(folder);
  });

  test.each([
    [{ version: "c".repeat(64) }, /^it wants code cccccccccccccccc, and this worker is aaaaaaaaaaaaaaaa$/],
    [{ plugins: ["d".repeat(64)] }, /^it wants the plugin dddddddddddddddd, which this worker was not given/],
    [{ code: "process.exit()" }, /^it is no job of a sweep: all of it: .*code/],
    [{ recording: { ...job.recording, name: "../../etc/passwd" } }, /^it is no job of a sweep: recording\.name: /],
    [{ recording: { ...job.recording, name: ".bashrc" } }, /^it is no job of a sweep: recording\.name: /],
    [{ recording: { ...job.recording, sha256: "*" } }, /^it is no job of a sweep: recording\.sha256: /],
    [{ specs: [{ ...job.specs[0]!, nodes: [] }] }, /^it is no job of a sweep: specs\.0: no machine$/],
    [{ specs: [null] }, /^it is no job of a sweep: specs\.0: no machine$/],
    [{ wanted: [[0, 7], ...job.wanted.slice(1)] }, /wants a machine or a policy that it does not name/],
    [{ cells: job.cells.slice(1) }, /cells are not as many as wanted/],
  ])("not %j", (other, why) => {
    expect(accepted({ ...job, ...other }, VERSION, new Set())).toMatch(why);
  });

  test("a plugin that is on its list", () => {
    const plugin = "d".repeat(64);
    expect(accepted({ ...job, plugins: [plugin] }, VERSION, new Set([plugin]))).toMatchObject({ plugins: [plugin] });
  });

  test("jobs that are the same have one name", () => {
    expect(jobName({ ...job, specs: [] })).toBe(jobName(job));
    expect(jobName({ ...job, cells: job.cells.slice(1) })).not.toBe(jobName(job));
  });
});

describe("a file that a worker lacks", () => {
  const bytes = Buffer.from("2 1000\n0 7fff00001234\n");
  const named = { name: "own.din", sha256: sha256(bytes) };
  const wanting = { ...job, recording: named, schedule: null };
  /** As Redis holds files: a list of parts by digest. */
  const holding = (parts: readonly Buffer[]): Redis =>
    ({ lrangeBuffer: (key: string) => Promise.resolve(key.endsWith(`:file:${named.sha256}`) ? parts : []) }) as never;
  const fetched = async (parts: readonly Buffer[]): Promise<string> => {
    const cache = new FileCache(holding(parts));
    try {
      return readFileSync((await cache.batchOf(wanting)).file, "utf8");
    } finally {
      cache.close();
    }
  };

  test("comes from Redis in its parts, and is held to its digest", async () => {
    expect(await fetched([bytes.subarray(0, 5), bytes.subarray(5)])).toBe(bytes.toString());
  });

  test.each([
    [
      "not there either",
      [],
      /^own\.din \(sha256 [0-9a-f]{64}\) is neither on this worker nor in Redis: give the sweep's/,
    ],
    ["cut there", [bytes.subarray(0, 9)], /^what Redis has as own\.din .* has another digest: remove kreplica:file:/],
    ["another one there", [Buffer.from("x")], /has another digest/],
  ])("%s: an error that is tried again, not one that sets the job aside", async (_what, parts, message) => {
    const error: unknown = await fetched(parts).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(LackingFile);
    // `work` sets aside at once what throws an InputError: BullMQ tries anything else again.
    expect(error).not.toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
  });

  test("one that came once is not asked for again; one that failed is", async () => {
    let asked = 0;
    let parts: readonly Buffer[] = [];
    const redis = {
      lrangeBuffer: () => {
        asked++;
        return Promise.resolve(parts);
      },
    } as never;
    const cache = new FileCache(redis);
    try {
      await expect(cache.batchOf(wanting)).rejects.toThrow(LackingFile);
      parts = [bytes];
      const { file: first } = await cache.batchOf(wanting);
      expect([asked, (await cache.batchOf(wanting)).file]).toEqual([2, first]);
      expect(asked).toBe(2);
    } finally {
      cache.close();
    }
  });
});

describe("addresses", () => {
  test.each([
    ["queue.example", /^--queue: is no address\. Write redis:/],
    ["http://queue.example", /^--queue: speaks http:\/\/, which is not Redis's/],
    ["redis:///1", /^--queue: names no host/],
    ["redis://queue.example/one", /^--queue: \/one is no number of a database/],
    ["redis://queue.example?x=1", /^--queue: has more behind the database/],
  ])("%s", (text, why) => {
    expect(() => queueAddress(text)).toThrow(why);
  });

  test("shown without who has access", () => {
    expect(shownAddress(queueAddress("rediss://somebody:secret@queue.example:7000/2"))).toBe(
      "rediss://queue.example:7000/2",
    );
    expect(shownAddress(queueAddress("redis://queue.example"))).toBe("redis://queue.example:6379");
  });
});

test("where no Redis is, and where its libraries are not installed", async () => {
  // Port 1 is nobody's.
  for (const words of [["sweep", file, "-o", join(folder, "results")], ["sweep", file, "--watch"], ["worker"]]) {
    const { code, out, error } = await invoke([...words, "--queue", "redis://somebody:secret@127.0.0.1:1"]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(/^kreplica: --queue: redis:\/\/127\.0\.0\.1:1: cannot be reached \(ECONNREFUSED\)\. Start/);
    expect(error).not.toContain("secret");
  }
  const missing = Object.assign(new Error("no bullmq"), { code: "ERR_MODULE_NOT_FOUND" });
  await expect(queueLibraries(() => Promise.reject(missing))).rejects.toThrow(
    "--queue: needs bullmq and ioredis, which are not installed: nothing else needs them. Install them beside kreplica: npm install bullmq ioredis.",
  );
});

test("what is watched", () => {
  const sweep = { version: "a", title: null, cells: 2016, done: 12, replays: 3, gathered: false };
  const workers = [
    { version: "a", host: "one", pid: 7, cells: 12, seconds: 8 },
    { version: "b", host: "two", pid: 8, cells: 0, seconds: 1 },
  ];
  const jobs = { active: 1, waiting: 2, delayed: 3, failed: 1 };
  const failed = [{ job: "0123456789abcdef", reason: "own.kt at byte 7: is cut off" }];
  expect(sightText({ sweep, jobs, failed, workers }, "a", 1.25)).toBe(`\
12 of 2,016 cells, 1.3 a second
  jobs: 1 at work, 2 wait, 3 to be tried again, 1 set aside
  one, process 7: 12 cells, 1.5 a second
  1 worker of other code: they get nothing of it
  set aside: job 0123456789ab: own.kt at byte 7: is cut off
  nobody gathers it: give the sweep's command again
`);
  expect(sightText({ sweep: { ...sweep, gathered: true }, jobs, failed: [], workers: [] }, "a", undefined)).toBe(`\
12 of 2,016 cells
  jobs: 1 at work, 2 wait, 3 to be tried again, 1 set aside
  no worker was heard of
`);
});
