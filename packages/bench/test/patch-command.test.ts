/// <reference types="node" />
/** `kreplica patch`: its figures follow from copies and CPUs, and its inputs are checked. */
import { writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { registerPatch } from "../src/commands/patch.js";
import { run } from "../src/commands/run.js";
import { patchCosts, PATCH_SITES, type PatchSite } from "../src/measure/patch-cost.js";
import { progressOn, screenFor } from "../src/report/terminal.js";

const invoke = async (...words: string[]): Promise<{ code: number; out: string; error: string }> => {
  let out = "";
  let error = "";
  const code = await run(words, [registerPatch], {
    version: "0", out: (text) => { out += text; }, error: (text) => { error += text; }, screen: screenFor({}, {}), progress: progressOn({ isTTY: false } as never, {}), debug: false,
  });
  return { code, out, error };
};
const spec = tinyMachine({ nodes: 3, coresPerNode: 2 });

describe.each(Object.keys(PATCH_SITES) as PatchSite[])("%s", (site) => {
  test("work grows with copies, interrupts with CPUs, and nothing else", () => {
    const costs = patchCosts({ spec, site, policies: ["single-copy", "per-node"], cpus: [1, 2, 6], changes: 4 });
    expect(costs.map(({ copies }) => copies)).toEqual([1, 1, 1, 3, 3, 3]);
    // INT3, tail, first byte: three writes and synchronisations a change; a probe one of each; a plain poke one write.
    const [writes, syncs] = site === "kprobe" ? [1, 1] : site === "text_poke" ? [1, 0] : [3, 3];
    for (const cost of costs) {
      expect(cost.framesWritten).toBe(writes * cost.copies);
      expect(cost.rootSwitches).toBe(2 * writes * cost.copies);
      expect(cost.synchronisations).toBe(syncs);
      expect(cost.interrupts).toBe(syncs * (cost.cpusOnline - 1));
      expect(cost.cycles.low).toBeLessThanOrEqual(cost.cycles.value);
      expect(cost.cycles.high).toBeGreaterThanOrEqual(cost.cycles.value);
      expect(cost.interruptCycles > 0).toBe(cost.interrupts > 0);
      expect(cost.elsewhere > 0).toBe(cost.interrupts > 0);
    }
    // Three copies cost more than one, with the same CPUs.
    for (let i = 0; i < 3; i++) expect(costs[3 + i]!.cycles.value).toBeGreaterThan(costs[i]!.cycles.value);
  });
});

test("text and JSON say the same; bad input is exit 2 with a remedy", async () => {
  const json = await invoke("patch", "--machine", "tiny-2-node", "--site", "ftrace", "--changes", "2", "--json");
  expect([json.code, json.error]).toEqual([0, ""]);
  const document = JSON.parse(json.out) as { schema: string; costs: { policy: string; cycles: { value: number } }[] };
  expect(document.schema).toBe("kreplica.patch/1");
  const shown = await invoke("patch", "--machine", "tiny-2-node", "--site", "ftrace", "--changes", "2");
  expect(shown.out.split("\n").every((line) => line.length <= 100)).toBe(true);
  for (const { policy, cycles } of document.costs) expect(shown.out).toMatch(new RegExp(`${policy} .*${Math.round(cycles.value).toLocaleString("en-US")}`));
  const bad = join(mkdtempSync(join(tmpdir(), "kreplica-")), "nothing");
  writeFileSync(bad, "no kernel at all");
  for (const words of [["--kernel", bad], ["--kernel", "/no/such/file"], ["--system-map", bad], ["--site", "nonsense"], ["--changes", "0"], ["--policy", "nobody"]]) {
    const { code, error } = await invoke("patch", "--machine", "tiny-2-node", ...words);
    expect([words, code]).toEqual([words, 2]);
    expect(error.split("\n")[0]).toMatch(/^kreplica: /);
  }
});
