/// <reference types="node" />
/** `kreplica trace`: what it says, what it writes, and that a part of a recording replays as the recording does. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { dataFile } from "@kreplica/recordings";
import { unzstd } from "@kreplica/inputs/zstd";
import { afterAll, expect, test } from "vitest";
import { invoke } from "../invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-trace-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const MOUNT = dataFile("traces/hsw-mount.kt.zst");
const KILL = dataFile("traces/hsw-kill.kt.zst");
const zstd = spawnSync("zstd", ["--version"]).status === 0;

interface Contents {
  readonly recordings: readonly {
    readonly instructions: number;
    readonly tests: readonly { readonly name: string; readonly instructions: number }[];
    readonly cpus: readonly { readonly instructions: number }[];
    readonly regions: readonly { readonly instructions: number; readonly region: string }[];
    readonly functions: readonly { readonly name: string }[];
  }[];
}
const contents = async (...words: readonly string[]): Promise<Contents["recordings"]> => {
  const { code, out, error } = await invoke(["trace", "info", ...words, "--json"]);
  expect([code, error]).toEqual([0, ""]);
  return (JSON.parse(out) as Contents).recordings;
};
const figures = async (...words: readonly string[]): Promise<unknown> => {
  const { out } = await invoke(["compare", "--machine", "tiny-2-node", "--cpu", "2", "--json", ...words]);
  return (JSON.parse(out) as { tests: object[] }).tests.map((each) => ({ ...each, recording: "" }));
};

test("what is in one: parts add up, and the kernel's functions are named where it is known", async () => {
  const [mount] = await contents(MOUNT, "--top", "3");
  const sum = (of: readonly { readonly instructions: number }[]): number =>
    of.reduce((total, { instructions }) => total + instructions, 0);
  expect(mount!.tests).toEqual([expect.objectContaining({ name: "mount", instructions: mount!.instructions })]);
  expect([sum(mount!.cpus), sum(mount!.regions)]).toEqual([mount!.instructions, mount!.instructions]);
  expect(mount!.functions.map(({ name }) => name)).toContain("__kmem_cache_alloc_node");
  const { out } = await invoke(["trace", "info", MOUNT, "--top", "3"]);
  expect(out).toMatch(/mount \(6\) +2 +21,037/);
});

test("merged and cut apart again, a test replays to the same figures", async () => {
  const both = join(folder, "both.kt");
  const kill = join(folder, "kill.kt");
  expect((await invoke(["trace", "merge", MOUNT, KILL, "-o", both])).code).toBe(0);
  expect((await contents(both))[0]!.tests.map(({ name }) => name)).toEqual(["mount", "kill"]);
  expect((await invoke(["trace", "cut", both, "--test", "kill", "-o", kill])).code).toBe(0);
  expect(await figures("--traces", kill)).toEqual(await figures("--traces", KILL));
});

test.skipIf(!zstd)("converted, packed and plain hold the same", async () => {
  const [plain, packed] = [join(folder, "plain.kt"), join(folder, "packed.kt.zst")];
  expect((await invoke(["trace", "convert", MOUNT, "-o", plain])).code).toBe(0);
  expect((await invoke(["trace", "convert", plain, "-o", packed])).code).toBe(0);
  expect(Buffer.compare(unzstd(readFileSync(packed)), readFileSync(plain))).toBe(0);
  expect((await contents(plain))[0]!.instructions).toBe((await contents(MOUNT))[0]!.instructions);
});

test("a trace of another program is a recording with its file's name, and replays", async () => {
  const din = join(folder, "my-loop.din");
  const lines = Array.from(
    { length: 300 },
    (_, i) => `2 ${(0x401000 + 4 * (i % 40)).toString(16)}\n0 ${(0x7f0000 + 64 * i).toString(16)}\n`,
  );
  writeFileSync(din, lines.join(""));
  const kt = join(folder, "my-loop.kt");
  const { code, out, error } = await invoke(["trace", "convert", din, "-o", kt]);
  expect([code, out]).toEqual([0, `${kt}: 300 instructions, 300 loads, 0 stores, 1 test\n`]);
  expect(error).toMatch(/without physical pages\. Filled: physical pages in order of first touch/);
  expect(await figures("--traces", kt)).toMatchObject([{ test: "my-loop" }, { test: "my-loop" }]);
});

test("to drmemtrace and back: the same instructions, loads and stores; packed, by the end of its name", async () => {
  const [kt, trace, packed] = ["cut.kt", "cut.drmemtrace", "cut.trace.gz"].map((name) => join(folder, name));
  expect((await invoke(["trace", "cut", MOUNT, "--instructions", "0-2000", "-o", kt!])).code).toBe(0);
  const there = await invoke(["trace", "convert", kt!, "-o", trace!]);
  expect(there.code, there.error).toBe(0);
  writeFileSync(packed!, gzipSync(readFileSync(trace!)));
  for (const [i, from] of [trace!, packed!].entries()) {
    const back = await invoke(["trace", "convert", from, "-o", join(folder, `back${i}.kt`)]);
    expect(back.code, back.error).toBe(0);
    expect(back.error).toContain("DynamoRIO's drmemtrace");
    const counts = (out: string): string => out.replace(/^.*?: /, "").replace(/, \d+ tests?\n/, "");
    expect(counts(back.out)).toBe(counts(there.out));
  }
  const cut = join(folder, "damaged.trace.gz");
  writeFileSync(cut, gzipSync(readFileSync(trace!)).subarray(0, 1000));
  const { code, error } = await invoke(["trace", "convert", cut, "-o", join(folder, "none.kt")]);
  expect([code, existsSync(join(folder, "none.kt"))]).toEqual([2, false]);
  expect(error).toMatch(/damaged\.trace\.gz at byte \d+.*: it is damaged or cut/);
});

test("to templates of system calls: the kernel's part of a mount, by its number; --calls for what no test is", async () => {
  const [file, own] = ["mount.memtrace", "own.memtrace"].map((name) => join(folder, name));
  const templates = ["trace", "convert", MOUNT, "--to", "drmemtrace-templates"];
  const { code, out, error } = await invoke([...templates, "-o", file!]);
  expect([code, error]).toEqual([0, "kreplica: templates of the system calls 165, in this order; without encodings\n"]);
  expect(out).toMatch(/: 20874 instructions, 5097 loads, 3849 stores, 0 tests\n/);
  const bytes = readFileSync(file!);
  const markers = Array.from({ length: bytes.length / 12 }, (_, i) => 12 * i)
    .filter((at) => bytes.readUInt16LE(at) === 28)
    .map((at) => [bytes.readUInt16LE(at + 2), Number(bytes.readBigUInt64LE(at + 4))]);
  expect(markers.slice(1)).toEqual([
    [9, 0x10040],
    [10, 64],
    [18, 4096],
    [2, 1],
    [27, 165],
    [28, 165],
  ]);
  expect((await invoke([...templates, "--calls", "39", "-o", own!])).error).toMatch(/calls 39, in/);
  for (const [words, reason] of [
    [[...templates, "--calls", "clone", "-o", own!], /"clone" is no list of system calls.*56,61/s],
    [["trace", "convert", MOUNT, "--calls", "39", "-o", own!], /only templates of system calls/],
    [[...templates, "--cpus", "0", "-o", join(folder, "none")], /no system call was made/],
  ] as const) {
    const refused = await invoke([...words]);
    expect([refused.code, refused.out]).toEqual([2, ""]);
    expect(refused.error).toMatch(reason);
  }
  expect(existsSync(join(folder, "none"))).toBe(false);
});

test("a recording as another program's trace: one CPU, by the output's name or by --to", async () => {
  const [din, champ] = [join(folder, "mount.din"), join(folder, "mount.bin")];
  expect((await invoke(["trace", "convert", MOUNT, "-o", din])).code).toBe(0);
  const text = readFileSync(din, "utf8");
  expect([..."012"].map((label) => text.split("\n").filter((line) => line.startsWith(label)).length)).toEqual([
    5134, 3870, 21037,
  ]);
  expect((await invoke(["trace", "convert", MOUNT, "--to", "champsim", "--cpus", "2", "-o", champ])).code).toBe(0);
  expect(readFileSync(champ).length % 64).toBe(0);
  expect(readFileSync(champ).length / 64).toBeGreaterThanOrEqual(21037);
});

test("damage is told with its byte, of every file, and is exit code 2", async () => {
  const plain = join(folder, "whole.kt");
  await invoke(["trace", "convert", MOUNT, "-o", plain]);
  const bad = join(folder, "bad.kt");
  writeFileSync(bad, readFileSync(plain).subarray(0, 5000));
  const { code, out, error } = await invoke(["trace", "check", plain, bad, "--json"]);
  expect(code).toBe(2);
  const { recordings } = JSON.parse(out) as { recordings: { file: string; damage?: string; offset?: number }[] };
  expect(recordings[0]).toMatchObject({ file: plain, whole: 1, open: 0, unnamed: 0 });
  expect(recordings[1]!.damage).toContain("bad.kt at byte ");
  expect(recordings[1]!.offset).toBeLessThanOrEqual(5000);
  expect(error).toContain(recordings[1]!.damage!);
  expect((await invoke(["trace", "check", plain])).code).toBe(0);
});

test("nothing is written that holds nothing, nor half of anything, nor over what was there", async () => {
  const out = join(folder, "kept.kt");
  writeFileSync(out, "kept");
  const plain = join(folder, "source.kt");
  await invoke(["trace", "convert", MOUNT, "-o", plain]);
  const bad = join(folder, "cut.kt");
  writeFileSync(bad, readFileSync(plain).subarray(0, 30_000));
  for (const words of [
    ["cut", MOUNT, "--test", "kill"],
    ["convert", bad],
    ["merge", MOUNT, bad],
  ]) {
    const { code, error } = await invoke(["trace", ...words, "-o", out]);
    expect([code, readFileSync(out, "utf8")], error).toEqual([2, "kept"]);
  }
  expect(readdirSync(folder).filter((name) => name.includes(".part"))).toEqual([]);
});

test.each([
  [["info", MOUNT, "--test", "kill"], /^kreplica: --test: means nothing to trace info: it is for cut\./],
  [["show", MOUNT], /^kreplica: <what>: "show" is nothing that trace does\./],
  [["cut", MOUNT], /^kreplica: --output: not given\./],
  [["cut", MOUNT, KILL, "-o", "x.kt"], /^kreplica: <files>: 2 recordings, and cut takes one\./],
  [["cut", MOUNT, "--test", "monut", "-o", "x.kt"], /^kreplica: --test: there is no test "monut"\..*mount/],
  [["cut", MOUNT, "--cpus", "2-", "-o", "x.kt"], /^kreplica: --cpus: "2-" is no list of CPUs\./],
  [["cut", MOUNT, "--instructions", "5-5", "-o", "x.kt"], /^kreplica: --instructions: "5-5" is no range/],
  [
    ["convert", MOUNT, "--cpus", "2", "-o", "x.kt"],
    /^kreplica: --cpus: a recording is converted with all of its CPUs\./,
  ],
  [["convert", MOUNT, "--from", "din", "-o", "x.din"], /^kreplica: --to: from din to din leads through a recording\./],
  [["convert", MOUNT, "--cpus", "1-2", "-o", "x.din"], /^kreplica: --cpus: 2 CPUs, and a trace for din is of one\./],
  [["convert", MOUNT, "--from", "din", "-o", "x.kt"], /at byte 0: line 1 is .* no reference\./],
  [["convert", MOUNT, "-o", "-"], /^kreplica: --output: a recording is not written to standard output/],
  [["convert", MOUNT, "-o", "nothing/there.kt"], /^kreplica: nothing\/there\.kt: --output: cannot be written/],
])("%j is refused", async (words, message) => {
  const { code, out, error } = await invoke(["trace", ...words]);
  expect([code, out]).toEqual([2, ""]);
  expect(error).toMatch(message);
  expect(existsSync("x.kt")).toBe(false);
});
