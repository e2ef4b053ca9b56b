/// <reference types="node" />
/**
 * The measuring program on a machine with two nodes, which is one of QEMU's without KVM: it ends, sits where it says,
 * has every pair of nodes; what it tells makes a machine of two nodes, and of an emulator's times no figure of it.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Measurement, measurementFromProgram } from "@kreplica/machines";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadMachine } from "../src/inputs/machine/load.js";
import { rootArchive } from "../src/record/root-archive.js";
import { debianKernel } from "./debian-kernel.js";
import { faultsOf } from "./documents/validator.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-probe-nodes-"));
const at = (name: string): string => join(folder, name);
const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const kernel = debianKernel();
const able = kernel !== undefined && ["qemu-system-x86_64", "gcc"].every(has);
/** Three times what the pairs take alone. */
const SECONDS = 26;
const PATIENCE = 240_000;

/** A program without libraries, of sources beside this folder. */
function built(name: string, ...sources: readonly string[]): Buffer {
  const files = sources.map((source) => fileURLToPath(new URL(source, import.meta.url)));
  const { status, stderr } = spawnSync("gcc", ["-O2", "-std=gnu11", "-pthread", "-static", "-o", at(name), ...files], {
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
  return readFileSync(at(name));
}

/** What the guest's console printed. */
function console(): string {
  const program = (path: string, bytes: Buffer) => ({ path, kind: "file" as const, bytes, executable: true });
  const probe = ["probe.c", "chains.c", "system.c"].map((name) => `../probe/${name}`);
  writeFileSync(
    at("initrd"),
    rootArchive([
      ...["dev", "proc", "sys"].map((path) => ({ path, kind: "folder" as const })),
      { path: "dev/console", kind: "device", device: [5, 1] },
      program("init", built("init", "fixtures/probe-guest/init.c")),
      program("probe", built("probe", ...probe)),
    ]),
  );
  const nodes = [0, 1].flatMap((node) => [
    "-object",
    `memory-backend-ram,id=memory${node},size=1G`,
    "-numa",
    `node,nodeid=${node},cpus=${2 * node}-${2 * node + 1},memdev=memory${node}`,
  ]);
  const { stdout } = spawnSync(
    "qemu-system-x86_64",
    [
      ...["-accel", "tcg", "-cpu", "Haswell-noTSX", "-smp", "4", "-m", "2G", ...nodes],
      ...["-nodefaults", "-vga", "none", "-display", "none", "-no-reboot", "-monitor", "none", "-serial", "stdio"],
      ...["-kernel", kernel!, "-initrd", at("initrd"), "-append"],
      `console=ttyS0 panic=-1 quiet probe.seconds=${SECONDS}`,
    ],
    { encoding: "utf8", timeout: PATIENCE, maxBuffer: 2 ** 24 },
  );
  return stdout.replaceAll("\r", "");
}

describe.skipIf(!able)("a guest of two nodes with two CPUs each", () => {
  let said: string[];
  let measurement: Measurement;
  const guest = (word: string): number[] =>
    said.flatMap((line) => {
      const [, value] = new RegExp(`^GUEST ${word} (\\d+)$`).exec(line) ?? [];
      return value === undefined ? [] : [Number(value)];
    });
  beforeAll(() => {
    said = console().split("\n");
    const lines = said.filter((line) => line.startsWith("{"));
    expect(guest("exit"), said.slice(-20).join("\n")).toEqual([0]);
    measurement = measurementFromProgram(`${lines.join("\n")}\n`, "the measuring program");
    writeFileSync(at("cells.json"), JSON.stringify(measurement));
  }, PATIENCE);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("every pair of nodes has its cells, from each node's first CPU; what was left out is said", () => {
    const { nodes, cells, notMeasured } = measurement;
    expect(nodes.map(({ id, cpus }) => [id, cpus])).toEqual([
      [0, [0, 1]],
      [1, [2, 3]],
    ]);
    for (const from of [0, 1])
      for (const to of [0, 1])
        for (const what of ["load", "fetch"]) {
          const of = cells.filter((cell) => cell.from === from && cell.to === to && cell.what === what);
          expect(new Set(of.map(({ cache }) => cache))).toEqual(new Set(["hot", "cold"]));
          expect(of.every(({ cpu, placed }) => cpu === 2 * from && placed)).toBe(true);
        }
    expect(notMeasured.every(({ reason }) => reason.length > 0)).toBe(true);
    expect(faultsOf(measurement as never, "kreplica.probe/1")).toEqual([]);
  });

  test("the guest's kernel saw it on these CPUs alone, and all bound memory on its node", () => {
    // It begins wherever it was put, before it pins itself: at most one more.
    expect(guest("cpu")).toEqual(expect.arrayContaining([0, 2]));
    expect(guest("cpu").length).toBeLessThanOrEqual(3);
    expect(guest("right")[0]).toBeGreaterThan(4096);
    expect(guest("wrong")).toEqual([0]);
  });

  test("the machine made of it has the guest's nodes, and no time of the emulator's", () => {
    const machine = loadMachine(at("cells.json"), "e5-2690v3-2s");
    expect(machine.nodes.map(({ id }) => id)).toEqual([0, 1]);
    expect(machine.cpus.map(({ id, node }) => [id, node])).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
    for (const { source } of [machine.hertz, machine.l1d.cycles, machine.l2.cycles, machine.l3.cycles])
      expect(source).not.toMatch(/kreplica probe/);
    const told = measurement.cells.map(({ nanoseconds }) => nanoseconds);
    expect(machine.latencyNs.flat().filter((ns) => told.includes(ns))).toEqual([]);
    expect(measurement.processor.emulated).toBe(true);
  });

  test("--check reads it, and says what measured", async () => {
    const { code, out, error } = await invoke(["probe", "--check", at("cells.json"), "--base", "e5-2690v3-2s"]);
    expect([code, error]).toEqual([0, ""]);
    const text = out.replace(/\s+/g, " ");
    expect(text).toContain("measured by kreplica probe, under an emulator");
    expect(text).toContain("Loads from node 1 in memory of node 0");
    expect(text).toContain("Fetches from node 0 in memory of node 1");
  });
});
