/// <reference types="node" />
/**
 * The measuring program built by this machine's compiler and run for a short while: its structure, and that its chains
 * are those of the model, no figure; and the measurement that comes with kreplica against the model, cell by cell.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineFromJson } from "@kreplica/machines";
import { chainOrder } from "@kreplica/replay";
import { expect, test } from "vitest";
import type { ProbeCheckDocument, ProbeDocument } from "../src/report/documents/probe.js";
import { faultsOf } from "./documents/validator.js";
import { invoke } from "./invoke.js";

test("the measurement that comes with kreplica: every cell it resolves is within 25 percent on its machine", async () => {
  const { code, out } = await invoke(["probe", "--check", "emerald-rapids", "--json"]);
  expect(code).toBe(0);
  const { cells, machine, resolved } = JSON.parse(out) as ProbeCheckDocument;
  expect([machine, resolved]).toEqual(["emerald-rapids-guest", { walked: 39, within: 38 }]);
  for (const { resolved: told, modelledNs, measuredNs } of cells)
    if (told && modelledNs !== null) expect(Math.abs(modelledNs / measuredNs - 1)).toBeLessThanOrEqual(0.25);
}, 240_000);

const compiles =
  process.arch === "x64" &&
  process.platform === "linux" &&
  ["cc", "gcc", "clang"].some((each) => spawnSync(each, ["--version"]).status === 0);

test.skipIf(!compiles)(
  "measures, and says what it did not have the time for",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "kreplica-probe-proof-"));
    try {
      const file = join(folder, "machine.json");
      const { code, out, error } = await invoke(["probe", "--budget", "5", "--seed", "7", "--json", "-o", file]);
      expect([code, error]).toEqual([0, `kreplica: ${file} is written: a machine file for --machine\n`]);
      const document = JSON.parse(out) as ProbeDocument;
      expect(faultsOf(document as never, "kreplica.probe/1")).toEqual([]);
      const { cells, notMeasured, nodes } = document;
      expect(document.seed).toBe(7);
      expect(nodes.flatMap(({ cpus }) => cpus).length).toBeGreaterThan(0);
      expect(cells.length + notMeasured.length).toBeGreaterThan(0);
      for (const cell of cells) {
        expect(cell.nanoseconds).toBeGreaterThan(0);
        expect(cell.low! <= cell.nanoseconds && cell.nanoseconds <= cell.high!).toBe(true);
        expect(nodes.find(({ id }) => id === cell.from)!.cpus).toContain(cell.cpu);
        if (cell.bytes <= 4 << 20) expect(cell.orderHash).toBe(chainOrder(cell.bytes / (64 * cell.runLines), 7).hash);
      }
      // Every chain came hot and cold, or not at all.
      expect(cells.filter(({ cache }) => cache === "hot")).toHaveLength(cells.length / 2);
      const machine = machineFromJson(readFileSync(file, "utf8"), file, "probed", () => {
        throw new Error("a whole machine names no base");
      });
      expect(machine.nodes.map(({ id }) => id)).toEqual(nodes.map(({ id }) => id));
      expect(machine.sources.join("\n")).toMatch(/measured by kreplica probe/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
