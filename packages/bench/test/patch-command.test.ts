/// <reference types="node" />
/** `kreplica patch`: its figures follow from copies and CPUs, and its inputs are checked. */
import { writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PATCH_SITES, patchCosts, type PatchSite } from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { kernelFrom } from "../src/boot.js";
import { registerPatch } from "../src/commands/patch.js";
import { invoke as invokeOf, type Invoked } from "./invoke.js";

const invoke = (...words: string[]): Promise<Invoked> => invokeOf(words, {}, [registerPatch]);
const spec = tinyMachine({ nodes: 3, coresPerNode: 2 });

describe.each(Object.keys(PATCH_SITES) as PatchSite[])("%s", (site) => {
  test("work grows with copies, interrupts with CPUs, and nothing else", () => {
    const costs = patchCosts(kernelFrom({ spec }), {
      site,
      policies: ["single-copy", "per-node"],
      cpus: [1, 2, 6],
      changes: 4,
    });
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
  for (const { policy, cycles } of document.costs)
    expect(shown.out).toMatch(new RegExp(`${policy} .*${Math.round(cycles.value).toLocaleString("en-US")}`));
  const bad = join(mkdtempSync(join(tmpdir(), "kreplica-")), "nothing");
  writeFileSync(bad, "no kernel at all");
  for (const words of [
    ["--kernel", bad],
    ["--kernel", "/no/such/file"],
    ["--system-map", bad],
    ["--site", "nonsense"],
    ["--changes", "0"],
    ["--policy", "nobody"],
  ]) {
    const { code, error } = await invoke("patch", "--machine", "tiny-2-node", ...words);
    expect([words, code]).toEqual([words, 2]);
    expect(error.split("\n")[0]).toMatch(/^kreplica: /);
  }
});

test("whose cycles they are, and which CPUs are online", async () => {
  const flat = async (...words: string[]): Promise<string> =>
    (await invoke("patch", "--changes", "1", "--policy", "single-copy", ...words)).out.replace(/\s+/g, " ");
  expect(await flat("--machine", "xeon-8260-8s")).toContain(
    "CPU cycles and us are of CPU 0 alone, which patches, on node 0, which holds the image; they say nothing of a change made on another node. 12 CPUs: the first by number, of node 0. 192 CPUs: all. policy",
  );
  // CPUs numbered round and round the nodes, and no memory on the first one's.
  const file = join(mkdtempSync(join(tmpdir(), "kreplica-")), "numactl");
  writeFileSync(
    file,
    "available: 2 nodes (0-1)\nnode 0 cpus: 0 2 4 6\nnode 0 size: 0 MB\nnode 1 cpus: 1 3 5 7\nnode 1 size: 4096 MB\nnode distances:\nnode   0   1 \n  0:  10  21 \n  1:  21  10 \n",
  );
  expect(await flat("--machine", file)).toMatch(
    /of CPU 0 alone, which patches, on node 0, in another socket than the image, [\d.]+ ns from it; .* 4 CPUs: the first by number, of nodes 0, 1\. 8 CPUs: all\./,
  );
  const { cpu, node, online } = JSON.parse(
    (await invoke("patch", "--machine", file, "--changes", "1", "--json")).out,
  ) as { cpu: number; node: number; online: unknown };
  expect({ cpu, node, online }).toEqual({
    cpu: 0,
    node: 0,
    online: [
      { cpus: 1, nodes: [0] },
      { cpus: 4, nodes: [0, 1] },
      { cpus: 8, nodes: [0, 1] },
    ],
  });
});
