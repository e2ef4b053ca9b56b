/// <reference types="node" />
/**
 * Machines in the forms of firmware and of other programs, on the command line: ACPI's tables in, all forms out, and
 * the machine this runs on.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { afterAll, describe, expect, test } from "vitest";
import { invoke } from "../invoke.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-forms-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const written = join(root, "written");
const json = async (...words: string[]): Promise<MachineSpec> => {
  const { code, out, error } = await invoke(["machine", ...words, "--json"]);
  expect(code, error).toBe(0);
  return JSON.parse(out) as MachineSpec;
};
const refused = async (...words: string[]): Promise<string> => {
  const { code, out, error } = await invoke(["machine", ...words]);
  expect(code, error).toBe(2);
  expect(out).toBe("");
  return error;
};

describe("--write", () => {
  test("a folder with all forms, of which each is the same machine again", async () => {
    const { code, out, error } = await invoke(["machine", "tiny-2-node", "--write", written]);
    expect(code, error).toBe(0);
    expect(out).toContain("Latency under load");
    expect(readdirSync(written).sort()).toEqual([
      "HMAT",
      "SLIT",
      "SRAT",
      "machine.json",
      "machine.svg",
      "qemu-options.txt",
    ]);
    expect(error).toContain(`${written} is written: machine.json, SRAT, SLIT, HMAT, qemu-options.txt, machine.svg`);
    const tiny = await json("tiny-2-node");
    expect(await json(join(written, "machine.json"))).toEqual(tiny);
    const tables = await json(written, "--base", "tiny-2-node");
    const memory = (of: MachineSpec): unknown => of.nodes.map(({ id, memoryBytes }) => [id, memoryBytes]);
    expect([tables.distance, tables.latencyNs, memory(tables)]).toEqual([tiny.distance, tiny.latencyNs, memory(tiny)]);
    expect(readFileSync(join(written, "machine.svg"), "utf8")).toMatch(/^<svg /);
    expect(readFileSync(join(written, "qemu-options.txt"), "utf8")).toContain("-numa dist,src=0,dst=1,val=");
    // What is in the way stays as it was.
    expect(await refused("tiny-2-node", "--write", written)).toContain("--write: is not empty");
    expect(await refused("tiny-2-node", "--write", join(written, "SRAT"))).toContain("--write: is no folder");
    expect(await refused("tiny-2-node", "--write", join(written, "SRAT", "in"))).toContain("--write: ");
    expect(readdirSync(root)).toEqual(["written"]);
  });

  test("refused where nothing is named, and where the folder has no name", async () => {
    expect(await refused("--write", join(root, "none"))).toContain("--write: given without a machine");
    expect(await refused("tiny-2-node", "--write", "")).toContain("--write: empty");
    expect(existsSync(join(root, "none"))).toBe(false);
  });
});

describe("tables of ACPI", () => {
  const tables = new URL("../../../machines/test/fixtures/acpi/", import.meta.url).pathname;

  test("a folder, the files, the files among other inputs: one machine; what refines it is listed", async () => {
    const folder = await json(tables);
    const files = await json(...["APIC", "SRAT", "HMAT", "SLIT"].map((name) => join(tables, name)));
    expect([files.cpus, files.distance, files.latencyNs]).toEqual([folder.cpus, folder.distance, folder.latencyNs]);
    expect(folder.latencyNs[1]![2]).toBe(250);
    const mlc = join(root, "mlc.txt");
    writeFileSync(
      mlc,
      "Measuring idle latencies (in ns)...\n Numa node\nNuma node 0 1 2\n 0 95.5 140 300\n 1 141 91 250\nLocal Socket L2->L2 HIT  latency 40.1\n",
    );
    const both = await json(join(tables, "SRAT"), mlc, join(tables, "APIC"), join(tables, "HMAT"));
    expect(both.latencyNs[0]![0]).toBe(95.5);
    expect(both.sources.filter((each) => each.startsWith("contradiction: latencyNs"))).toEqual([
      expect.stringMatching(
        /^contradiction: latencyNs from 0 to 0 is 90 in .*HMAT at byte \d+ \(ACPI SRAT, MADT, HMAT\) and 95\.5 in .*mlc\.txt:4 \(Intel MLC\), which stands$/,
      ),
    ]);
  });

  test("a damaged one is refused with its byte; SRAT alone numbers CPUs itself, and says so", async () => {
    const copy = join(root, "copy");
    mkdirSync(copy);
    cpSync(tables, copy, { recursive: true });
    const srat = readFileSync(join(copy, "SRAT"));
    writeFileSync(join(copy, "SRAT"), srat.subarray(0, 100));
    expect(await refused(copy)).toContain("SRAT at byte 4: SRAT: its length says 312 bytes, and 100 are there");
    const alone = await json(join(tables, "SRAT"));
    expect(alone.sources.join("\n")).toContain("without APIC (the MADT), CPUs are numbered in the order of SRAT");
  });
});

test("--this: the machine this runs on, by name, too, and refined by what is given with it", async () => {
  if (!existsSync("/sys/devices/system/node/node0")) {
    console.error("SKIPPED: no /sys/devices/system/node here");
    return;
  }
  const here = await json("--this");
  expect(here.name).toBe("this-machine");
  expect(await json("this")).toEqual(here);
  const list = await json("/sys/devices/system/node");
  expect(here.nodes.map(({ id }) => id)).toEqual(list.nodes.map(({ id }) => id));
  expect(here.cpus.map(({ id }) => id)).toEqual(list.cpus.map(({ id }) => id));
  expect(here.sources.join("\n")).toContain("(/sys/devices/system/node/node0/cpulist");
  const mlc = join(root, "own-mlc.txt");
  writeFileSync(mlc, "Measuring idle latencies (in ns)...\n Numa node\nNuma node 0\n 0 77.7\n");
  if (here.nodes.length === 1) expect((await json("this", mlc)).latencyNs).toEqual([[77.7]]);
});
