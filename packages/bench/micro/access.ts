/// <reference types="node" />
/**
 * References a second through the whole access path: TLBs, walks through real tables and caches, write-backs, two
 * nodes.
 *
 * In packages/bench: npm run micro -- access [mixed] [hostile] [traces] [v8-default] [records]
 *
 * With what the command sets for itself (../src/inlining.ts); `v8-default` measures as any other program would find it.
 * Measured figures, what limits them, and what was tried without gain: docs/model-machine.md, "Speed".
 */
import { readdirSync } from "node:fs";
import { assemble } from "@kreplica/di";
import { type CounterLayout, Counters, Kind, Machine, type NumaMachine, hwX86, references } from "@kreplica/hw-x86";
import { GoldenTrace, goldenMachine, identityMap, runGolden, runGoldenBatches } from "@kreplica/hw-x86/testing";
import { e52690v3 } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { Replayer } from "@kreplica/replay/program";
import { boot } from "../src/boot.js";
import { inlineMore } from "../src/inlining.js";
import { loadFile } from "../test/load-file.js";
import { nanoseconds, report } from "./timing.js";

const words = process.argv.slice(2);
const isNumber = (word: string): boolean => /^\d+$/.test(word);
const wanted = words.filter((word) => word !== "v8-default" && !isNumber(word));
if (!words.includes("v8-default")) inlineMore();
const chosen = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
/** Records of each of the golden's streams. */
const RECORDS = Number(words.find(isNumber) ?? 20_000_000);

for (const mix of ["mixed", "hostile"] as const) {
  if (!chosen(mix)) continue;
  const records = new Uint32Array(RECORDS);
  new GoldenTrace(mix).fill(records);
  for (const inclusion of ["inclusive", "victim"] as const) {
    const assembly = assemble([hwX86(goldenMachine(inclusion))]);
    const machine = assembly.get(Machine) as NumaMachine;
    const cpu = machine.cpu(0);
    identityMap(machine.memory, cpu);
    report(
      `golden, ${mix}, full model, L3 ${inclusion}`,
      nanoseconds(RECORDS, 3, () => void runGolden(cpu, records)),
    );
    const batch = cpu.batch();
    if (batch !== undefined)
      report(
        `golden, ${mix}, full model, L3 ${inclusion}, in batches`,
        nanoseconds(RECORDS, 3, () => void runGoldenBatches(batch, records)),
      );
    if (mix === "mixed" && inclusion === "inclusive") {
      const core = machine.hostBytes - machine.domains[0]!.hostBytes;
      console.log(`host memory: ${core} bytes a CPU with its core, ${machine.domains[0]!.hostBytes} an L3 of 32 MiB`);
      const walks = references(assembly.get(Counters).of(0), 2, Kind.Walk);
      console.log(`page-table references in six runs: ${walks}`);
    }
  }
}

if (chosen("traces")) {
  const kinds = [Kind.Fetch, Kind.PrefetchedFetch, Kind.Load, Kind.Store];
  for (const name of readdirSync(dataFile("traces")).filter((file) => file.endsWith(".kt.zst"))) {
    const booted = boot({ spec: e52690v3, policy: "single-copy", pti: true, masterNode: 0, recordedNodes: [0, 1] });
    const { workload, measured } = loadFile(dataFile(`traces/${name}`), (address, frame) =>
      booted.recorded.map(address, frame),
    );
    const replayer = new Replayer(booted, 12, measured, (vcpu) => (vcpu < 2 ? vcpu : vcpu === 3 ? 13 : 12));
    const { layout } = booted.assembly.get(Counters) as { layout: CounterLayout };
    replayer.run(workload);
    const { counters } = replayer.run(workload);
    const count = kinds.reduce((sum, kind) => sum + references(counters, layout.nodes, kind), 0);
    report(
      `${name}, ${count} references of the measured CPU`,
      nanoseconds(count, 3, () => void replayer.run(workload)),
    );
  }
}
