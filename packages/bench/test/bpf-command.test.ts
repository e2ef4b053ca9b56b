/// <reference types="node" />
/**
 * `kreplica bpf` on objects built by clang: verdicts, results on every node, what replication changes, and refusals.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runBpf } from "@kreplica/replay";
import { afterAll, describe, expect, test } from "vitest";
import { BpfError, readObject } from "@kreplica/bpf";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { kernelFrom } from "../src/boot.js";
import { invokeIn } from "./invoke.js";

const haveClang = spawnSync("clang", ["--version"]).status === 0;
if (!haveClang) console.warn("\n*** clang is missing: kreplica bpf is not tested. apt-get install clang ***\n");

describe.skipIf(!haveClang)("kreplica bpf", () => {
  const directory = mkdtempSync(join(tmpdir(), "kreplica-bpf-"));
  const programs = join(import.meta.dirname, "../../bpf/test/programs");
  const object = (name: string): string => {
    const out = join(directory, `${name}.o`);
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", join(programs, `${name}.c`), "-o", out], {
      cwd: programs,
    });
    return out;
  };
  afterAll(() => rmSync(directory, { recursive: true }));

  test("shared code is fetched from its node's memory, replicated code from the own node's; results are equal", () => {
    const parsed = readObject(new Uint8Array(readFileSync(object("calls"))));
    const run = (replicate: boolean) =>
      runBpf(kernelFrom({ spec: tinyMachine({ nodes: 2 }), policy: "per-node", masterNode: 0 }), {
        replicate,
        object: parsed,
        programs: ["main_program"],
        input: Uint8Array.of(9),
        repeat: 2,
      });
    const shared = run(false).programs[0]!.nodes,
      copied = run(true).programs[0]!.nodes;
    expect(shared.map((each) => [each.codeOn, each.outcome])).toEqual([
      [0, "exit"],
      [0, "exit"],
    ]);
    expect(copied.map((each) => [each.codeOn, each.outcome])).toEqual([
      [0, "exit"],
      [1, "exit"],
    ]);
    expect(copied.map((each) => each.result)).toEqual(shared.map((each) => each.result));
    expect(shared[1]!.cold.remote).toBeGreaterThan(0);
    expect(copied[1]!.cold.remote).toBe(0);
    expect(copied[1]!.cold.local).toBe(shared[1]!.cold.local + shared[1]!.cold.remote);
    // Tiny caches lose a line now and then: warm runs fetch again, but never from afar when the copy is here.
    expect(copied[1]!.warm.remote).toBe(0);
    expect(run(true).costs[0]!.bytes.map((each) => each.bytes)).toEqual([2 << 20, 2 << 20]);
  });

  test.each([
    ["calls", "on_entry", "trampoline"],
    ["packet", "filter", "dispatcher"],
    ["struct-ops", "start,acked", "struct_ops"],
  ] as const)(
    "%s: %s attached to a hot path through a %s: images like programs, equal permissions, what they cost counted, all given back",
    (file, names, kind) => {
      const parsed = readObject(new Uint8Array(readFileSync(object(file)))),
        input = new Uint8Array(60).fill(9);
      const run = (replicate: boolean) =>
        runBpf(kernelFrom({ spec: tinyMachine({ nodes: 3 }), policy: "per-node", masterNode: 0 }), {
          replicate,
          object: parsed,
          programs: names.split(","),
          input,
          repeat: 3,
        });
      const shared = run(false),
        copied = run(true);
      expect(shared.paths.map(({ program, through }) => [program, through])).toEqual(
        names.split(",").map((name) => [name, kind]),
      );
      for (const [i, path] of copied.paths.entries()) {
        expect([path.imageOn, shared.paths[i]!.imageOn]).toEqual([
          [0, 1, 2],
          [0, 0, 0],
        ]);
        for (const [node, each] of path.nodes.entries()) {
          const other = shared.paths[i]!.nodes[node]!;
          expect([each.outcome, each.result, each.instructions]).toEqual(["exit", other.result, other.instructions]);
          expect(each.cold.remote).toBe(0);
          if (node === 0) continue;
          expect(other.cold.remote).toBeGreaterThan(1);
          expect(each.coldCycles).toBeLessThan(other.coldCycles);
        }
      }
      const cost = (run: typeof shared, of: string) => run.costs.find((each) => each.kind === of)!;
      // A shared pack has 2 MiB for each node, all of it where its area lies; of a replicated one each node has 2 MiB.
      for (const [what, bytes, nodes] of [
        ["pack", 2 << 20, 3],
        [kind, 4096, 1],
      ] as const) {
        expect(cost(shared, what).bytes.map((each) => each.bytes)).toEqual([nodes * bytes, 0, 0]);
        expect(cost(copied, what).bytes.map((each) => each.bytes)).toEqual([bytes, bytes, bytes]);
        expect([cost(shared, what).permissions, cost(copied, what).permissions]).toEqual([["rx"], ["rx"]]);
        expect(cost(copied, what).flushes).toBe(cost(shared, what).flushes + 1);
      }
      expect(cost(copied, "pack").framesWritten).toBe(3 * cost(shared, "pack").framesWritten);
      expect([shared.leftBytes, copied.leftBytes]).toEqual([0, 0]);
    },
  );

  test("maps are shown as the calls left them, per-CPU ones by CPU", () => {
    const parsed = readObject(new Uint8Array(readFileSync(object("maps")))),
      run = runBpf(kernelFrom({ spec: tinyMachine({ nodes: 2 }), policy: "per-node", masterNode: 0 }), {
        replicate: false,
        object: parsed,
        programs: ["count", "send"],
        input: Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0),
        repeat: 4,
      });
    const elements = (name: string) => run.maps.find((map) => map.name === name)!.elements;
    // Five calls on each of two CPUs: one counter for all, two for each CPU.
    expect(elements("counts")).toEqual([{ key: "03000000", value: "0a00000000000000" }]);
    expect(elements("per_cpu").map(({ value }) => value)).toEqual(["0a00000000000000", "0a00000000000000"]);
    expect([elements("records"), elements("ring")]).toEqual([[], []]);
  });

  test("a refused program leaves no trace and names its source line", () => {
    const parsed = readObject(new Uint8Array(readFileSync(object("packet"))));
    let refused: unknown;
    try {
      runBpf(kernelFrom({ spec: tinyMachine({ nodes: 2 }), policy: "per-node", masterNode: 0 }), {
        replicate: true,
        object: parsed,
        programs: ["filter", "careless"],
        input: new Uint8Array(),
        repeat: 0,
      });
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(BpfError);
    expect((refused as BpfError).message).toContain("return data[4];");
  });

  test("the command: text, JSON, log, disassembly, exit codes", async () => {
    const file = object("packet"),
      packet = join(directory, "packet.bin");
    const bytes = new Uint8Array(60);
    bytes.set([8, 0], 12);
    bytes.set([0x45], 14);
    writeFileSync(packet, bytes);
    const json = await invokeIn(["bpf", file, "--program", "filter", "--run", packet, "--bpf", "both", "--json"]);
    expect([json.code, json.error]).toEqual([0, ""]);
    const document = JSON.parse(json.out) as {
      schema: string;
      runs: { replicate: boolean; programs: { nodes: { result: number }[] }[] }[];
    };
    expect([
      document.schema,
      document.runs.map((run) => run.replicate),
      document.runs[0]!.programs[0]!.nodes.map((node) => node.result),
    ]).toEqual(["kreplica.bpf/1", [false, true], [2, 2]]);
    const text = await invokeIn(["bpf", file, "--program", "filter"]);
    expect(text.out).toMatch(/filter \(xdp\): accepted after \d+ instructions followed/);
    expect(text.out).toMatch(/filter attached: dispatcher, through a dispatcher, called on every node/);
    const both = await invokeIn(["bpf", file, "--program", "filter", "--bpf", "both", "--repeat", "2"]);
    expect(both.out).toMatch(/node 1 +\d+ +0 .*[1-9]\d*\.\d %/);
    const log = await invokeIn(["bpf", file, "--verify-only"]);
    expect(log.code).toBe(1);
    expect(log.out).toMatch(/careless: verify-packet-range/);
    const listing = await invokeIn(["bpf", file, "--disassemble", "--program", "careless"]);
    expect(listing.out).toMatch(/2: \(07\) r2 \+= 4/);
    for (const words of [
      ["bpf", "/nowhere.o"],
      ["bpf", packet],
      ["bpf", file, "--program", "none"],
    ]) {
      const { code, out, error } = await invokeIn(words);
      expect([words.join(" "), code, out]).toEqual([words.join(" "), 2, ""]);
      expect(error).not.toContain("fault in kreplica itself");
    }
  });
});
