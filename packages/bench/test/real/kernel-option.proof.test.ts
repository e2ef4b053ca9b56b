/// <reference types="node" />
/**
 * `--kernel` of boot, tables, check and compare on the day's Debian kernels: their bytes in the copies, and every bad
 * file one line and exit code 2.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { perNode } from "@kreplica/kernel";
import { bootableImage, type KernelFile, kernelFromBytes } from "@kreplica/kernel-files";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { registerBoot } from "../../src/commands/boot.js";
import { registerCheck } from "../../src/commands/check.js";
import { registerCompare } from "../../src/commands/compare.js";
import { bootChoices, readKernelChoices } from "../../src/commands/kernel-choices.js";
import { registerTables } from "../../src/commands/tables.js";
import { invoke as invokeOf, type Invoked } from "../invoke.js";
import { tracedKernel } from "../../src/traced-kernel.js";

let cloud: { vmlinuz: string } | undefined;
let generic: { vmlinuz: string } | undefined;
try {
  cloud = fetchKernel("cloud-amd64");
} catch (error) {
  console.error(`SKIPPED: no real kernel to boot: ${(error as Error).message}`);
}
try {
  generic = fetchKernel("amd64");
} catch (error) {
  console.error(`SKIPPED: no second kernel to compare on: ${(error as Error).message}`);
}

const folder = mkdtempSync(join(tmpdir(), "kreplica-option-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const invoke = (...words: string[]): Promise<Invoked> =>
  invokeOf(words, {}, [registerBoot, registerTables, registerCheck, registerCompare]);
const choices = {
  policy: perNode,
  levels: "4",
  pti: "off",
  pcid: "on",
  kaslr: "off",
  seed: 1,
  machine: "tiny-2-node",
} as const;

describe.skipIf(!cloud)("a kernel file", () => {
  let bytes: Uint8Array;
  let kernel: KernelFile;
  beforeAll(async () => {
    bytes = readFileSync(cloud!.vmlinuz);
    kernel = await kernelFromBytes(bytes, cloud!.vmlinuz);
  });

  test("is booted: every node's text and rodata are the file's bytes, where its symbols say", async () => {
    for (const kaslr of ["off", "both"] as const) {
      const booted = bootChoices((await readKernelChoices({ ...choices, kaslr, kernel: cloud!.vmlinuz })).chosen);
      expect(booted.image.hasBytes).toBe(true);
      expect(booted.image.name).toBe(`Linux ${kernel.release!}`);
      expect([booted.image.stext, booted.image.end]).toEqual([kernel.symbol("_stext"), kernel.symbol("_end")]);
      const { memory } = booted.machine;
      const [page, file] = [new Uint8Array(4096), new Uint8Array(4096)];
      let compared = 0;
      for (const [start, end] of [
        ["_stext", "_etext"],
        ["__start_rodata", "__end_rodata"],
      ] as const) {
        for (let at = kernel.symbol(start)!; at + 4096n <= kernel.symbol(end)!; at += 4096n) {
          file.set(kernel.bytes({ start: at, end: at + 4096n }));
          for (const node of booted.view.holders) {
            const frame = booted.view.replicaFrame(at + booted.layout.imageOffset, node)!;
            expect(memory.nodeOf(frame)).toBe(node);
            memory.readBytes(BigInt(frame) << 12n, page);
            // What the boot itself writes: sorted exception table and __ro_after_init, one word each.
            const differing = page.reduce((count, byte, i) => count + (byte === file[i] ? 0 : 1), 0);
            if (differing > 8) throw new Error(`node ${node} holds other bytes than the file at ${at.toString(16)}`);
            compared++;
          }
        }
      }
      expect(compared).toBeGreaterThan(8_000);
      expect(booted.checkInvariants().violated).toEqual([]);
    }
  });

  test("lies in memory as its sections say, whose offsets in the file are told apart from the segments'", () => {
    let compared = 0;
    const named = new Set<string>();
    for (const section of kernel.elf.sections) {
      const bytes = kernel.elf.bytesOf(section);
      // The per-CPU section is linked at 0 and lies where a symbol says; .bss has no bytes in the file.
      const at = section.name === ".data..percpu" ? kernel.symbol("__per_cpu_load")! : section.address;
      if (!section.allocated || at < kernel.base || bytes.length === 0) continue;
      if (Buffer.compare(kernel.bytes({ start: at, end: at + BigInt(section.size) }), bytes) !== 0)
        throw new Error(`${section.name} is not where its header says`);
      compared += bytes.length;
      named.add(section.name);
    }
    expect(compared).toBeGreaterThan(20 << 20);
    expect([...named]).toEqual(
      expect.arrayContaining([".text", ".rodata", ".data", ".init.text", "__ex_table", ".data..percpu"]),
    );
  });

  test("is shown by boot and tables, with its System.map and without", async () => {
    const map = join(folder, "System.map");
    writeFileSync(
      map,
      kernel.symbols
        .map(({ address, type, name }) => `${address.toString(16).padStart(16, "0")} ${type} ${name}`)
        .join("\n"),
    );
    const plain = await invoke("boot", "--machine", "tiny-2-node", "--kernel", cloud!.vmlinuz, "--json");
    const listed = await invoke(
      "boot",
      "--machine",
      "tiny-2-node",
      "--kernel",
      cloud!.vmlinuz,
      "--system-map",
      map,
      "--json",
    );
    expect([plain.code, plain.error]).toEqual([0, ""]);
    expect(listed.out).toBe(plain.out);
    expect(JSON.parse(plain.out)).toMatchObject({ kernel: `Linux ${kernel.release!}`, invariants: { violated: [] } });
    const tables = await invoke("tables", "--machine", "tiny-2-node", "--kernel", cloud!.vmlinuz);
    expect(tables.out).toContain(`Kernel text, 0x${kernel.symbol("_stext")!.toString(16)}`);
  });

  test("is checked: operations of every family on it find nothing, a defect laid over it is found", async () => {
    const words = ["check", "--kernel", cloud!.vmlinuz, "--nodes", "2", "--levels", "4", "--json"];
    const sound = await invoke(...words, "--runs", "34", "--steps", "40");
    expect([sound.code, JSON.parse(sound.out)]).toEqual([
      0,
      {
        schema: "kreplica.check/1",
        policy: "per-node",
        kernel: `Linux ${kernel.release!}`,
        runs: 34,
        steps: 1360,
        coverage: { states: expect.any(Number) as number, transitions: expect.any(Number) as number },
        violations: [],
      },
    ]);
    for (const [defect, rule] of [
      ["N2", "B6"],
      ["N1", "A1"],
      ["D16", "A5"],
    ] as const) {
      const broken = await invoke(...words, "--runs", "1", "--defect", defect);
      expect(broken.code).toBe(1);
      expect((JSON.parse(broken.out) as { violations: { invariant: string }[] }).violations[0]!.invariant).toBe(rule);
    }
  });

  test("symbols that lie are refused by name, before or while booting, and nothing else happens", () => {
    const names = [
      "_stext",
      "_etext",
      "__start_rodata",
      "__end_rodata",
      "__init_begin",
      "__init_end",
      "__bss_start",
      "__brk_base",
      "_end",
      "init_top_pgt",
      "level2_kernel_pgt",
      "bm_pte",
      "idt_table",
      "vsyscall_page",
    ];
    const bounds = kernel.symbols.filter(
      ({ name }) =>
        /^(_text|_sdata|level\d_\w+_pgt|espfix_pud_page|__(start|end)_bss_decrypted\w*|__entry_text_\w+)$/.test(name) ||
        names.includes(name),
    );
    const [stext, end] = [kernel.symbol("_stext")!, kernel.symbol("_end")!];
    let refused = 0,
      fine = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.oneof(
          fc.constant(undefined),
          fc.bigInt(stext - 0x1000n, end + 0x1000n),
          fc.bigInt(0n, 0xffffn).map((page) => page << 12n),
          fc.bigInt(0n, (1n << 64n) - 1n),
        ),
        (name, address) => {
          const lying: KernelFile = {
            ...kernel,
            symbols: bounds.flatMap((each) =>
              each.name !== name ? [each] : address === undefined ? [] : [{ ...each, address }],
            ),
          };
          try {
            bootableImage(lying, "recorded");
            fine++;
          } catch (error) {
            if (!(error instanceof InputError)) throw error;
            expect(error.remedy).toMatch(/System\.map/);
            refused++;
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(refused).toBeGreaterThan(100);
    expect(fine).toBeGreaterThan(0);
  });

  test("a file that is none, is cut, or is missing: one line, exit code 2, for every command", async () => {
    const junk = join(folder, "junk");
    writeFileSync(junk, "no kernel");
    const cut = join(folder, "cut");
    writeFileSync(cut, bytes.subarray(0, bytes.length >> 1));
    for (const command of ["boot", "tables", "check", "compare"]) {
      for (const words of [
        ["--kernel", junk],
        ["--kernel", cut],
        ["--kernel", join(folder, "absent")],
        ["--system-map", junk],
        ["--kernel", cloud!.vmlinuz, "--system-map", junk],
      ]) {
        const { code, error, out } = await invoke(command, ...words);
        expect([command, words, code, out]).toEqual([command, words, 2, ""]);
        expect(error.trimEnd().split("\n")).toHaveLength(1);
      }
    }
  });

  test("compare on the traced build: nothing is moved, the figures are those without the file", async () => {
    const words = ["compare", "--test", "kill", "--json"];
    const [traced, own] = [await invoke(...words), await invoke(...words, "--kernel", cloud!.vmlinuz)];
    if (!tracedKernel("recorded").name.endsWith(` ${kernel.release!}`))
      return console.error(`SKIPPED: ${kernel.release!} is not the traced build`);
    expect(own.out).toBe(traced.out);
  });

  test.skipIf(!generic)(
    "compare on another build: recorded addresses by function, what had none is counted, and the cover letter's shape stays",
    async () => {
      const { code, out } = await invoke("compare", "--test", "kill", "--json", "--kernel", generic!.vmlinuz);
      expect(code).toBe(0);
      const document = JSON.parse(out) as {
        kernel: string;
        recordedOn: string;
        tests: {
          cache: string;
          gainPercent: number;
          boundPercent: number;
          carriedOver: Record<"instructions" | "accesses", Record<"exact" | "pastEnd" | "standIn", number>>;
        }[];
      };
      expect(document.recordedOn).toBe(tracedKernel("recorded").name);
      expect(document.kernel).not.toBe(document.recordedOn);
      const cold = document.tests.find(({ cache }) => cache === "cold")!;
      const { exact, pastEnd, standIn } = cold.carriedOver.instructions;
      expect(exact).toBeGreaterThan(0.9 * (exact + pastEnd + standIn));
      expect(exact + pastEnd + standIn).toBeGreaterThan(10_000);
      expect(cold.gainPercent).toBeGreaterThan(5);
      expect(cold.gainPercent).toBeLessThan(cold.boundPercent);
    },
  );
});
