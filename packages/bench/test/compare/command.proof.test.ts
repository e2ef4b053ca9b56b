/** `kreplica compare` as a person runs it. */
/// <reference types="node" />
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { TraceEncoder } from "@kreplica/trace";
import { decompress } from "fzstd";
import { afterAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { tracedKernel } from "../../src/traced-kernel.js";
import { invokeBuilt } from "../cli.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-traces-"));
afterAll(() => rmSync(folder, { recursive: true }));

const levels = z.strictObject({
  l2: z.number(),
  ownL3: z.number(),
  otherL3: z.number(),
  local: z.number(),
  remote: z.number(),
});
const account = z.strictObject({
  instructions: z.number(),
  text: levels,
  rodata: levels,
  data: levels,
  modules: z.number(),
  user: z.number(),
  walks: levels.extend({ l1: z.number() }),
  secondTlb: z.number(),
  interrupts: z.number(),
  replication: z.number().nonnegative(),
});
const work = z.strictObject({ pgdsMade: z.int(), pgdsFreed: z.int(), entryStores: z.int(), tablesCleared: z.int() });
const figures = z.looseObject({ cycles: z.number().positive(), account, work });
const memoryCost = z.strictObject({
  lessFree: z.int(),
  copies: z.int(),
  tables: z.int(),
  inImage: z.int(),
  tails: z.int(),
  splits: z.int(),
  spare: z.int(),
  unexplained: z.literal(0),
});
const document = z.looseObject({
  schema: z.literal("kreplica.compare/2"),
  machine: z.string(),
  kernel: z.string(),
  cpu: z.int(),
  masterNode: z.int(),
  tests: z.array(
    z.looseObject({
      test: z.enum(["fork-1", "fork-1024", "mmap/munmap", "mmap/lock", "open/close", "kill", "mount"]),
      cache: z.enum(["hot", "cold"]),
      singleCopy: figures,
      perNode: figures,
      gainPercent: z.number(),
      gainLow: z.number(),
      gainHigh: z.number(),
      boundPercent: z.number(),
      reportedPercent: z.number().nullable(),
    }),
  ),
  memory: z.strictObject({
    perNode: z.array(z.strictObject({ node: z.int(), textBytes: z.int(), rodataBytes: z.int(), tableBytes: z.int() })),
    extraBytes: z.int(),
    closedForm: z.int(),
    cost: memoryCost,
  }),
  invariants: z.strictObject({ checked: z.int().positive(), violated: z.array(z.unknown()), notReached: z.int() }),
});
const sum = (value: unknown): number =>
  typeof value === "number"
    ? value
    : Object.values(value as object).reduce<number>((total, each) => total + sum(each), 0);

describe("kreplica compare", () => {
  test("--json prints one document of its schema, whose accounts add up, the same every time", async () => {
    const words = ["compare", "--test", "mount", "fork-1", "--json"];
    const [first, second] = [await invokeBuilt(words), await invokeBuilt(words, {}, "nothing")];
    expect(first.code).toBe(0);
    expect(first.error).toBe(""); // no progress in a pipe
    expect(second.out).toBe(first.out);
    const parsed = document.parse(JSON.parse(first.out));
    expect(parsed.tests.map((each) => `${each.test} ${each.cache}`)).toEqual([
      "fork-1 hot",
      "fork-1 cold",
      "mount hot",
      "mount cold",
    ]);
    expect(parsed.tests.map((each) => each.reportedPercent)).toEqual([2.3, 42.7, 8.7, 4.1]);
    for (const each of parsed.tests) {
      for (const side of [each.singleCopy, each.perNode]) expect(sum(side.account)).toBe(side.cycles);
      expect(each.gainPercent).toBeCloseTo(
        ((each.singleCopy.cycles - each.perNode.cycles) / each.singleCopy.cycles) * 100,
        5,
      );
      expect(each.gainLow).toBeLessThanOrEqual(each.gainPercent);
      expect(each.gainHigh).toBeGreaterThanOrEqual(each.gainPercent);
    }
    // One fork on two nodes with KPTI: 239 kernel slots and two of the user's, in both halves of one more PGD.
    expect(parsed.tests.map((each) => [each.singleCopy.work.entryStores, each.perNode.work.entryStores])).toEqual([
      [0, 482],
      [0, 482],
      [0, 0],
      [0, 0],
    ]);
    expect([parsed.machine, parsed.cpu, parsed.masterNode, parsed.memory.extraBytes]).toEqual([
      "e5-2690v3-2s",
      12,
      0,
      parsed.memory.closedForm,
    ]);
    // 26 MiB and 20 tables; 983 pages that the single copy gives back, less the 4 tables it takes to; one 1 GiB leaf
    // over node 1's copies.
    expect(parsed.memory.cost).toEqual({
      lessFree: 31_318_016,
      copies: 26 * 2 ** 20,
      tables: 12 * 4096,
      inImage: 2 * 4096,
      tails: 979 * 4096,
      splits: 4096,
      spare: 0,
      unexplained: 0,
    });
    expect(parsed.invariants.violated).toEqual([]);
  });

  test("prints gain, why, memory and invariants within 100 columns; --traces takes plain and zstd recordings alike", async () => {
    const plain = join(folder, "plain");
    const packed = join(folder, "packed");
    mkdirSync(plain);
    mkdirSync(packed, { recursive: true });
    writeFileSync(join(plain, "any-name.kt"), decompress(readFileSync(dataFile("traces/hsw-mount.kt.zst"))));
    copyFileSync(dataFile("traces/hsw-mount.kt.zst"), join(packed, "any-name.kt.zst"));
    const [one, other] = [
      await invokeBuilt(["compare", "--traces", plain, "-v"]),
      await invokeBuilt(["compare", "--traces", packed, "-v"]),
    ];
    expect(one.code).toBe(0);
    expect(other.out).toBe(one.out);
    for (const part of [
      "Gain",
      "modelled",
      "reported",
      "mount",
      "Why, cold",
      "Why, hot",
      "Replication's own work",
      "Memory",
      "Closed form (I3)",
      "Invariants",
      "hold",
    ])
      expect(one.out).toContain(part);
    expect(one.out).not.toContain("fork");
    expect(Math.max(...one.out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(one.out).not.toContain("\u001b");
  });

  test("one recording that cannot be used hides no other: the rest is compared, every fault is told, the exit code is 2", async () => {
    const mixed = join(folder, "mixed");
    mkdirSync(mixed);
    copyFileSync(dataFile("traces/hsw-mount.kt.zst"), join(mixed, "b.kt.zst"));
    writeFileSync(join(mixed, "a.kt"), "no recording");
    writeFileSync(join(mixed, "c.kt"), decompress(readFileSync(dataFile("traces/hsw-mount.kt.zst"))).subarray(0, 5000));
    const { code, out, error } = await invokeBuilt(["compare", "--traces", mixed, "--json"]);
    expect(code).toBe(2);
    const parsed = document.parse(JSON.parse(out));
    expect(parsed.tests.map((each) => each["recording"])).toEqual(["b.kt.zst", "b.kt.zst"]);
    expect((parsed["refused"] as { file: string }[]).map(({ file }) => file)).toEqual([
      join(mixed, "a.kt"),
      join(mixed, "c.kt"),
    ]);
    const lines = error.trim().split("\n");
    expect(lines).toEqual([
      expect.stringMatching(/mixed\/a\.kt at byte 0: it is neither/),
      expect.stringMatching(/mixed\/c\.kt at byte \d+: the recording ends/),
    ]);
    // Named by its test or its file.
    for (const name of ["mount", "b"])
      expect(
        JSON.parse((await invokeBuilt(["compare", "--traces", mixed, "--test", name, "--json"])).out),
      ).toMatchObject({
        tests: [{ test: "mount" }, { test: "mount" }],
      });
    rmSync(join(mixed, "b.kt.zst"));
    const none = await invokeBuilt(["compare", "--traces", mixed]);
    expect([none.code, none.out, none.error.trim().split("\n").length]).toEqual([2, "", 2]);
  });

  test("--reported stands beside, of this machine alone; what of it was not compared is listed, and when that is all, refused", async () => {
    const file = join(folder, "reported.json");
    const give = (machine: string, test: string): void =>
      writeFileSync(
        file,
        JSON.stringify({
          source: "me",
          machine,
          figures: [
            { test, cold: 30 },
            { test: "lmbench", hot: 1 },
          ],
        }),
      );
    const run = () => invokeBuilt(["compare", "--machine", "tiny-2-node", "--test", "mount", "--reported", file, "-v"]);
    give("tiny-2-node", "mount");
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out.replace(/\s+/g, " ")).toMatch(
      /30\.0 (above bound|above range|in range|below range).*reported: me \(.*reported\.json\).*not compared: lmbench\./,
    );
    give("e5-2690v3-2s", "mount");
    expect(await run()).toMatchObject({
      code: 2,
      out: "",
      error: expect.stringMatching(
        /reported\.json: machine: these figures are of e5-2690v3-2s, and tiny-2-node is compared/,
      ),
    });
    give("tiny-2-node", "mont");
    expect(await run()).toMatchObject({
      code: 2,
      out: "",
      error: expect.stringMatching(
        /reported\.json: figures: none is of a test that is compared: mont, lmbench\. .*mount/,
      ),
    });
  });

  describe("recordings of another kernel", () => {
    const other = join(import.meta.dirname, "../fixtures/other-kernel");
    const map = join(other, "System.map-on.zst");
    const mount = join(other, "on4-mount-cpu2.kt.zst");

    test("with what was recorded named, they are replayed, told by their files' names, and what lies where is counted", async () => {
      const words = ["compare", "--no-pti", "--traces", mount, "--recorded-kernel", map, "--test", "on4-mount-cpu2"];
      const { code, out } = await invokeBuilt([...words, "--json"]);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({
        recordedOn: "System.map-on",
        reported: { notCompared: expect.any(Array) },
        tests: [
          { test: "on4-mount-cpu2" },
          {
            cache: "cold",
            reportedPercent: null,
            recorded: {
              kernel_insns: 21_877,
              loads: 4401,
              stores: 3641,
              text_lines64: 658,
              rodata_lines64: 31,
              fetch_kinsns_by_node: [0, 21_877],
              copies: true,
            },
          },
        ],
      });
      const text = (await invokeBuilt(words)).out;
      expect(text).toMatch(/on4-mount-cpu2 +21,877 +4,401 +3,641 +658 +31 +250 +0\.0 +100\.0 +9\.2 +90\.8/);
      expect(text.replace(/\s+/g, " ")).toContain("text was fetched from copies");
      expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
    });

    test.each<[string, string[], RegExp]>([
      [
        "not named: not called damaged",
        ["--traces", mount],
        /at byte 97 of what it unpacks to: .*The recording is whole, by its checksum, so it is not of Linux 6\.1\.0-56-cloud-amd64.*--recorded-kernel/,
      ],
      [
        "nodes without a kernel",
        ["--traces", mount, "--recorded-nodes", "0:1G"],
        /--recorded-nodes: given without --recorded-kernel/,
      ],
      ["a kernel without recordings", ["--recorded-kernel", map], /--recorded-kernel: given without --traces/],
      [
        "another kernel's recordings",
        [
          "--traces",
          dataFile("traces/hsw-mount.kt.zst"),
          "--recorded-kernel",
          map,
          "--recorded-nodes",
          "0,1:512M/2,3:512M",
        ],
        /not of the kernel that hsw-mount\.kt\.zst is of: .*the very build that was recorded/,
      ],
      [
        "a guest that is too small",
        ["--traces", mount, "--recorded-kernel", map, "--recorded-nodes", "0,1:256M/2,3:256M"],
        /beyond the guest's 0\.5 GiB/,
      ],
      [
        "no nodes",
        ["--traces", join(folder, "packed/any-name.kt.zst"), "--recorded-kernel", map],
        /--recorded-nodes: the recordings do not say/,
      ],
      [
        "neither a kernel nor a map",
        ["--traces", mount, "--recorded-kernel", mount],
        /on4-mount-cpu2\.kt\.zst:1: not "ADDRESS TYPE NAME"/,
      ],
      [
        "nothing there",
        ["--traces", mount, "--recorded-kernel", "/nowhere"],
        /\/nowhere: --recorded-kernel: does not exist/,
      ],
    ])("%s: exit 2, and what helps", async (_what, words, says) => {
      mkdirSync(join(folder, "packed"), { recursive: true });
      copyFileSync(dataFile("traces/hsw-mount.kt.zst"), join(folder, "packed/any-name.kt.zst"));
      const { code, out, error } = await invokeBuilt(["compare", "--no-pti", ...words]);
      expect([code, out]).toEqual([2, ""]);
      expect(error).toMatch(says);
    });
  });

  test("a loop test is as long as its recording: what the authors reported of 1024 calls does not stand beside 16", async () => {
    const low = tracedKernel("recorded").symbol("ksys_mmap_pgoff")!;
    const encoder = new TraceEncoder();
    encoder.vcpu(2);
    encoder.mark(0x5eed0301);
    for (let i = 0; i < 16; i++) {
      encoder.fetch(0xffff_ffff_8110_0000n + BigInt(i) * 4096n, 4, 16);
      encoder.fetch(low, 4, 16);
    }
    encoder.mark(0x5eed0302);
    encoder.end();
    const short = join(folder, "short", "short.kt");
    mkdirSync(dirname(short));
    writeFileSync(short, encoder.bytes());
    const { code, out } = await invokeBuilt(["compare", "--traces", short, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      tests: [
        { test: "mmap/munmap", iterations: 16, reportedPercent: null },
        { iterations: 16, reportedPercent: null },
      ],
    });
    expect((await invokeBuilt(["compare", "--traces", short])).out).toContain("mmap/munmap, 16 of 1024 calls");
  });

  test("a design that breaks rules is compared all the same, its violations are listed, and the exit code is 1", async () => {
    const { code, out, error } = await invokeBuilt(["compare", "--policy", "rfc-v1", "--test", "mount", "--json"]);
    expect([code, error]).toEqual([1, ""]);
    const parsed = document.parse(JSON.parse(out));
    expect(parsed).toMatchObject({ policy: "rfc-v1", tests: [{ test: "mount" }, { test: "mount" }] });
    expect(parsed.invariants.violated.map((each) => (each as { id: string }).id)).toContain("B2");
  });

  test.each([
    [["--cpu", "999"], "--cpu"],
    [["--master-node", "7"], "--master-node"],
    [["--data-node", "7"], "--data-node"],
    [["--traces", "/nowhere"], "--traces"],
    [["--traces", "."], "holds no recording"],
    [["--test", "fork-2"], "did you mean fork-1?"],
    [["--test", "nosuch"], "choose from fork-1, fork-1024"],
    [["--machine", "tiny-2-node", "--levels", "5"], "--levels"],
  ])("%j is bad input: exit 2 and one line that names it", async (words, named) => {
    const { code, out, error } = await invokeBuilt(["compare", ...words], { cwd: folder });
    expect([code, out]).toEqual([2, ""]);
    expect(error.toLowerCase()).toContain(named);
    expect(error.trim().split("\n")).toHaveLength(1);
  });

  test("a cut recording is named with the byte where it ends", async () => {
    const cut = join(folder, "cut.kt");
    writeFileSync(cut, decompress(readFileSync(dataFile("traces/hsw-mount.kt.zst"))).subarray(0, 5000));
    const { code, error } = await invokeBuilt(["compare", "--traces", cut]);
    expect(code).toBe(2);
    expect(error).toMatch(/cut\.kt at byte \d+: /);
  });
});
