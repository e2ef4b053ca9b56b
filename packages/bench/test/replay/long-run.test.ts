/** The modelled 1024 forks against the recording of all of them, which does not ship. */
/// <reference types="node" />
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";
import { dataFile } from "../../src/data-files.js";
import { e52690v3 } from "../../src/inputs/presets/e5-2690v3-2s.js";
import { cycleAccount, lineCounts } from "../../src/measure/cycle-account.js";
import { loadTrace } from "../../src/replay/load.js";
import { Replayer } from "../../src/replay/replayer.js";

const FULL = join(import.meta.dirname, "../../../../../shared/data/traces-full/hsw-forkN.kt.zst");
/** Figures of the model may differ from the recording's by this much. */
const AGREEMENT = 0.05;

interface Figures { readonly cycles: number; readonly misses: Record<string, number> }

/** Cold, then once more, one copy: figures per fork. */
function perFork(file: string): [cold: Figures, hot: Figures] {
  const booted = boot({ spec: e52690v3, policy: "single-copy", pti: true, masterNode: 0, recordedNodes: [0, 1] });
  const { workload, measured } = loadTrace(file, (address, frame) => booted.recorded.map(address, frame));
  const replayer = new Replayer(booted, 12, measured, (vcpu) => (vcpu < 2 ? vcpu : 13));
  const once = (): Figures => {
    const { counters } = replayer.run(workload);
    const { fetchMissL1, fetchMissL2, dataMissL1, dataMissL2, dataFromMemory, textFromMemory } = lineCounts(counters, 2);
    return {
      cycles: cycleAccount(counters, e52690v3, 1).cycles / 1024,
      misses: Object.fromEntries(Object.entries({ fetchMissL1, fetchMissL2, dataMissL1, dataMissL2, memory: dataFromMemory + textFromMemory }).map(([name, count]) => [name, count / 1024])),
    };
  };
  replayer.chill();
  return [once(), once()];
}

describe.skipIf(!existsSync(FULL))(`the model of 1024 forks and the recording of them (${FULL}, not shipped)`, () => {
  test("agree within 5 % in cycles and misses per fork, cold and hot", { timeout: 1_200_000 }, () => {
    const [modelled, recorded] = [perFork(dataFile("traces/hsw-forkN.kt.zst")), perFork(FULL)];
    const compared = (["cold", "hot"] as const).flatMap((state, i) => Object.entries({ cycles: recorded[i]!.cycles, ...recorded[i]!.misses }).map(([name, truth]) => {
      const model = name === "cycles" ? modelled[i]!.cycles : modelled[i]!.misses[name]!;
      return { figure: `${state} ${name}`, model: Math.round(model), recorded: Math.round(truth), apart: truth === 0 ? Number(model !== 0) : Math.abs(model - truth) / truth };
    }));
    expect(compared.filter((each) => each.apart > AGREEMENT)).toEqual([]);
    // Nothing compared would agree with anything.
    expect(compared.filter((each) => each.recorded > 0).length).toBeGreaterThanOrEqual(10);
  });
});

test.skipIf(existsSync(FULL))(`the full recording is not here: ${FULL}`, ({ skip }) => { skip(); });
