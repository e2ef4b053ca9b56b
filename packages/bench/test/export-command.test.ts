/// <reference types="node" />
/** Exports, read back by readers of their own: every form has the comparison's cycles, by function and cause. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import { afterAll, describe, expect, test } from "vitest";
import { type Format, FORMATS } from "../src/commands/export-forms.js";
import { wholeNumbers } from "../src/report/export/samples.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-export-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const WHAT = ["--machine", "tiny-2-node", "--test", "kill"];

interface Run {
  readonly cycles: number;
  readonly account: Readonly<Record<string, number | Readonly<Record<string, number>>>>;
}
const compared = JSON.parse((await invoke(["compare", ...WHAT, "--cpu", "2", "--json"])).out) as {
  readonly tests: readonly { readonly cache: "cold" | "hot"; readonly singleCopy: Run; readonly perNode: Run }[];
};
const runOf = (cache: string, side: number): Run => {
  const found = compared.tests.find((each) => each.cache === cache)!;
  return side === 0 ? found.singleCopy : found.perNode;
};
const KERNELS = ["one copy", "per-node"];
const table = await invoke(["export", ...WHAT, "--format", "csv"]);
const rows = table.out
  .trimEnd()
  .split("\n")
  .slice(1)
  .map((line) => line.split(","));
/** The other forms of what is in the table. */
const written = async (format: Format): Promise<string> =>
  String(
    await FORMATS[format].write({
      title: "kill",
      kernels: ["one copy", "per-node"],
      samples: rows.map(([test, cache, kernel, name, address, cause, cycles]) => ({
        test: test!,
        cache: cache as "hot",
        kernel: kernel!,
        function: name!,
        address: address!,
        cause: cause!,
        cycles: Number(cycles),
      })),
    }),
  );

test("csv: a figure a row; of a state and kernel they are its cycles, and those of far text the account's", () => {
  expect([table.code, table.error]).toEqual([0, ""]);
  expect(table.out.split("\n")[0]).toBe("test,cache,kernel,function,address,cause,cycles");
  for (const cache of ["cold", "hot"])
    KERNELS.forEach((kernel, side) => {
      const own = rows.filter((row) => row[1] === cache && row[2] === kernel);
      const sum = (some: readonly string[][]): number => some.reduce((total, row) => total + Number(row[6]), 0);
      const { cycles, account } = runOf(cache, side);
      expect(sum(own)).toBe(cycles);
      const far = (account["text"] as Record<string, number>)["remote"];
      expect(sum(own.filter((row) => row[5] === "text from remote memory"))).toBe(far);
      expect(sum(own.filter((row) => row[5] === "instructions"))).toBe(account["instructions"]);
    });
  expect(rows.find((row) => row[3] === "__schedule")![4]).toMatch(/^0xffffffff8[0-9a-f]{7}$/);
});

test("speedscope: what its schema asks for; weights of a profile are the run's cycles", async () => {
  const document = JSON.parse(await written("speedscope")) as {
    readonly $schema: string;
    readonly shared: { readonly frames: readonly { readonly name: string }[] };
    readonly profiles: readonly {
      readonly type: string;
      readonly name: string;
      readonly unit: string;
      readonly startValue: number;
      readonly endValue: number;
      readonly samples: readonly (readonly number[])[];
      readonly weights: readonly number[];
    }[];
  };
  expect(document.$schema).toBe("https://www.speedscope.app/file-format-schema.json");
  const { frames } = document.shared;
  expect(new Set(frames.map(({ name }) => name)).size).toBe(frames.length);
  expect(document.profiles.map(({ name }) => name)).toEqual(
    ["cold", "hot"].flatMap((cache) => KERNELS.map((kernel) => `${kernel}, ${cache}: cycles`)),
  );
  document.profiles.forEach(({ type, unit, startValue, endValue, samples, weights }, nth) => {
    expect([type, unit, startValue, samples.length]).toEqual(["sampled", "none", 0, weights.length]);
    const { cycles } = runOf(nth < 2 ? "cold" : "hot", nth % 2);
    expect([endValue, weights.reduce((sum, each) => sum + each, 0)]).toEqual([cycles, cycles]);
    for (const stack of samples) {
      expect(stack).toHaveLength(3);
      expect(frames[stack[0]!]!.name).toBe("kill");
      for (const frame of stack) expect(frames[frame]).toBeDefined();
    }
  });
});

test("collapsed: stacks with whole numbers, which sum to the cycles but for rounding", async () => {
  const stacks = (await written("collapsed"))
    .trimEnd()
    .split("\n")
    .map((line) => /^([^;]+);kill;([^;]+);([^;]+) (\d+)$/.exec(line)!);
  expect(stacks.every((each) => each !== null)).toBe(true);
  for (const cache of ["cold", "hot"])
    KERNELS.forEach((kernel, side) => {
      const sum = stacks.reduce((total, each) => total + (each[1] === `${kernel}, ${cache}` ? Number(each[4]) : 0), 0);
      expect(Math.abs(sum - runOf(cache, side).cycles)).toBeLessThan(2);
    });
});

test("callgrind: both kernels' causes as events, their sums the summary; callgrind_annotate reads it", async () => {
  const file = join(folder, "callgrind.out");
  const { code } = await invoke(["export", ...WHAT, "--format", "callgrind", "-o", file]);
  expect(code).toBe(0);
  const text = readFileSync(file, "utf8");
  const line = (name: string): string[] => new RegExp(`^${name}: (.*)$`, "m").exec(text)![1]!.split(" ");
  const [events, summary] = [line("events"), line("summary").map(Number)];
  const sums = events.map(() => 0);
  for (const [, cells] of text.matchAll(/^fn=[^\n]+\n0 ([\d ]+)$/gm))
    cells!.split(" ").forEach((cell, nth) => (sums[nth]! += Number(cell)));
  expect(sums).toEqual(summary);
  for (const [side, name] of ["One_Cycles", "Copies_Cycles"].entries()) {
    const cycles = runOf("cold", side).cycles + runOf("hot", side).cycles;
    expect(Math.abs(summary[events.indexOf(name)]! - cycles)).toBeLessThan(4);
  }
  for (const name of events) expect(text).toMatch(new RegExp(`^event: ${name} : \\w`, "m"));
  if (!existsSync("/usr/bin/callgrind_annotate")) return;
  const { status, stdout, stderr } = spawnSync("callgrind_annotate", ["--show=One_Cycles", file], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain(summary[0]!.toString().replace(/\B(?=(\d{3})+$)/g, ","));
  expect(stdout).toMatch(/kill, (cold|hot):__schedule/);
});

interface Packet {
  readonly timestamp?: number;
  readonly interned_data?: { readonly event_names: readonly { readonly iid: number; readonly name: string }[] };
  readonly sequence_flags: number;
  readonly track_descriptor?: {
    readonly uuid: number;
    readonly name: string;
    readonly parent_uuid?: number;
    readonly process?: { readonly pid: number };
    readonly counter?: { readonly unit_name: string };
  };
  readonly track_event?: {
    readonly type: string;
    readonly track_uuid: number;
    readonly name_iid?: number;
    readonly counter_value?: number;
    readonly debug_annotations?: readonly { readonly name: string; readonly string_value: string }[];
  };
}

test("perfetto: slices nest and stand in order; a test takes its run's cycles, its far text is the account's", async () => {
  const file = join(folder, "kill.pftrace");
  const { code, error } = await invoke(["export", ...WHAT, "--format", "perfetto", "-o", file]);
  expect([code, error]).toEqual([0, `kreplica: ${file} is written\n`]);
  const schema = protobuf.parse(readFileSync(join(import.meta.dirname, "fixtures/perfetto-trace.proto"), "utf8"), {
    keepCase: true,
  });
  const Trace = schema.root.lookupType("Trace");
  const { packet } = Trace.toObject(Trace.decode(readFileSync(file)), { longs: Number, enums: String }) as {
    readonly packet: readonly Packet[];
  };
  expect(packet.every((each, nth) => each.sequence_flags === (nth === 0 ? 1 : 2))).toBe(true);
  const tracks = new Map(packet.flatMap(({ track_descriptor: each }) => (each ? [[each.uuid, each] as const] : [])));
  const names = new Map<number, string>();
  const open = new Map<number, { readonly name: string; readonly from: number }[]>();
  const closed: { readonly track: number; readonly name: string; readonly depth: number; readonly took: number }[] = [];
  const counted = new Map<number, number[]>();
  const told = new Map<string, string>();
  const last = new Map<number, number>();
  const wrong: number[] = [];
  for (const { timestamp, track_event: event, interned_data: interned } of packet) {
    for (const { iid, name } of interned?.event_names ?? []) names.set(iid, name);
    if (!event) continue;
    const { track_uuid: track } = event;
    if (!tracks.has(track) || timestamp! < (last.get(track) ?? 0)) wrong.push(timestamp!);
    last.set(track, timestamp!);
    const stack = open.get(track) ?? [];
    open.set(track, stack);
    if (event.type === "TYPE_SLICE_BEGIN") {
      stack.push({ name: names.get(event.name_iid!)!, from: timestamp! });
      for (const each of event.debug_annotations ?? [])
        if (each.name === "did") told.set(`${track} ${stack.at(-1)!.name}`, each.string_value);
    } else if (event.type === "TYPE_SLICE_END") {
      const { name, from } = stack.pop()!;
      closed.push({ track, name, depth: stack.length, took: timestamp! - from });
    } else {
      if (event.type !== "TYPE_COUNTER") wrong.push(timestamp!);
      const values = counted.get(track) ?? [];
      counted.set(track, values);
      values.push(event.counter_value!);
    }
  }
  expect(wrong).toEqual([]);
  expect([...open.values()].every((stack) => stack.length === 0)).toBe(true);
  const processes = [...tracks.values()].filter((each) => each.process);
  expect(processes.map(({ name, process }) => [name.split(" (")[0], process!.pid])).toEqual([
    ["one copy", 1],
    ["per-node", 2],
  ]);
  const booted = JSON.parse((await invoke(["boot", "--machine", "tiny-2-node", "--pti", "on", "--json"])).out) as {
    readonly timeline: readonly { readonly step: string; readonly stores: number; readonly tableFrames: number }[];
  };
  processes.forEach(({ uuid }, side) => {
    const own = [...tracks.values()].filter((each) => each.parent_uuid === uuid);
    const named = (name: RegExp): number => own.find((each) => name.test(each.name))!.uuid;
    const run = named(/^CPU 2: 1 ns a cycle$/);
    const runs = closed.filter(({ track, depth }) => track === run && depth === 0);
    expect(runs.map(({ name, took }) => [name, took])).toEqual(
      ["cold", "hot"].map((cache) => [`kill, ${cache}`, Math.round(runOf(cache, side).cycles)]),
    );
    // Nothing between the functions.
    const inner = closed.filter(({ track, depth }) => track === run && depth === 1);
    expect(inner.reduce((sum, { took }) => sum + took, 0)).toBe(runs.reduce((sum, { took }) => sum + took, 0));
    for (const name of ["__schedule", "do_send_sig_info"]) {
      const taken = rows.filter((row) => row[2] === KERNELS[side] && row[3] === name);
      const slices = inner.filter((each) => each.name === name);
      const cycles = taken.reduce((sum, row) => sum + Number(row[6]), 0);
      expect(Math.abs(slices.reduce((sum, { took }) => sum + took, 0) - cycles)).toBeLessThan(2 + slices.length);
    }
    const far = own.find(({ name }) => name === "CPU 2: cycles for far text so far")!;
    expect(far.counter).toEqual({ unit_name: "cycles" });
    const values = counted.get(far.uuid)!;
    const hotFrom = values.lastIndexOf(0);
    expect([values[hotFrom - 1] ?? 0, values.at(-1)]).toEqual(
      ["cold", "hot"].map((cache) =>
        Math.round((runOf(cache, side).account["text"] as Record<string, number>)["remote"]!),
      ),
    );
    const boot = named(/^boot, CPU 0: /);
    const steps = closed.filter(({ track }) => track === boot);
    const frames = counted.get(named(/^boot: page-table frames$/))!.at(-1)!;
    if (side === 1) {
      expect(steps.map(({ name, took }) => [name, took])).toEqual(
        booted.timeline.map((each) => [each.step, each.stores]),
      );
      expect(frames).toBe(booted.timeline.reduce((sum, each) => sum + each.tableFrames, 0));
      expect(told.get(`${boot} numa-replicate-kernel`)).toMatch(/\d/);
    } else expect(frames).toBeGreaterThan(0);
  });
});

test("what an export has no use for is refused; a file that cannot be written is known before the work", async () => {
  for (const words of [
    ["--alignment"],
    ["--load", "0.5"],
    ["--reported", import.meta.filename],
    ["-o", join(folder, "none/there")],
  ]) {
    const { code, out, error } = await invoke(["export", ...WHAT, ...words]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(/^kreplica: (--alignment|--load|--reported|.*none\/there)/);
  }
});

test("whole numbers keep the sum of any run of them", () => {
  const figures = [0.4, 0.4, 0.4, 2.75, 0, 1024.0009765625, 0.5];
  const whole = wholeNumbers(figures);
  let [sum, wanted] = [0, 0];
  for (const [nth, figure] of figures.entries()) {
    expect(Math.abs(whole[nth]! - figure)).toBeLessThan(1);
    expect(Math.abs((sum += whole[nth]!) - (wanted += figure))).toBeLessThan(1);
  }
});

describe("--mix", () => {
  const file = join(folder, "calls.json");
  const mixed = async (calls: Readonly<Record<string, number>>, ...more: readonly string[]) => {
    writeFileSync(file, JSON.stringify({ calls }));
    return invoke(["export", ...WHAT, "--format", "csv", "--mix", file, ...more]);
  };
  const cyclesOf = (out: string): Map<string, number> =>
    new Map(
      out
        .trimEnd()
        .split("\n")
        .slice(1)
        .map((line) => line.split(","))
        .map((row) => [row.slice(0, 6).join(","), Number(row[6])]),
    );

  test("weights each run by how many of its calls find the caches so", async () => {
    const { out, code } = await mixed({ kill: 300, getpid: 9 }, "--cold-share", "10");
    expect(code).toBe(0);
    const plain = cyclesOf(table.out);
    const weighted = cyclesOf(out);
    expect(weighted.size).toBe(plain.size);
    for (const [key, cycles] of plain)
      expect(weighted.get(key)! / cycles, key).toBeCloseTo(key.split(",")[1] === "cold" ? 30 : 270, 6);
    const hot = cyclesOf((await mixed({ kill: 300 })).out);
    expect([...hot.keys()].some((key) => key.split(",")[1] === "cold")).toBe(false);
    expect(hot.size).toBeGreaterThan(100);
  });

  test("is refused where no test is of its calls, without a mix, and where it is about time", async () => {
    expect(await mixed({ mount: 3 })).toMatchObject({
      code: 2,
      error: expect.stringContaining(
        "calls.json: has no system call that one of the tests that were run is of",
      ) as string,
    });
    expect((await invoke(["export", ...WHAT, "--cold-share", "3"])).error).toMatch(/--cold-share: given without --mix/);
    const timed = await invoke(["export", ...WHAT, "--format", "perfetto", "-o", join(folder, "x"), "--mix", file]);
    expect(timed.error).toMatch(/--mix: means nothing to perfetto/);
  });
});
