/// <reference types="node" />
/**
 * Kernels of Debian's other releases, 5.10 to 7.2: each is booted with its bytes, moved by its relocation lists, and
 * loads its modules.
 */
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { embeddedSymbols } from "@kreplica/kernel-files";
import { describe, expect, test } from "vitest";
import { fetchReleaseKernel } from "../../../../scripts/fetch-kernel.mjs";
import { registerBoot } from "../../src/commands/boot.js";
import { registerModules } from "../../src/commands/modules.js";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { invoke as invokeOf, type Invoked } from "../invoke.js";

const invoke = (...words: string[]): Promise<Invoked> => invokeOf(words, {}, [registerBoot, registerModules]);

describe.each(["bullseye", "trixie", "sid"])("%s", (release) => {
  let found: { vmlinuz: string; modules: string; abi: string } | undefined;
  try {
    found = fetchReleaseKernel(release);
  } catch (error) {
    console.error(`SKIPPED: no kernel of ${release} to read: ${(error as Error).message}`);
  }

  test.skipIf(!found)("its symbols come from the image, and move with it by the relocation lists", async () => {
    const kernel = await readKernelFile(found!.vmlinuz);
    expect([kernel.release, kernel.symbolsFrom]).toEqual([found!.abi, "kallsyms in the image"]);
    const { word64, word32, inverse32 } = kernel.relocations!;
    expect(Math.min(word64.length, word32.length)).toBeGreaterThan(10_000);
    // Three lists up to 6.14, two from 6.15, where per-CPU addresses move like all others.
    expect(inverse32.length > 1_000).toBe(Number(/^\d+/.exec(found!.abi)![0]) < 7);
    const moved = kernel.relocated(0x1a20_0000n);
    // Nearly all words of the 64-bit list hold linked addresses (differences and physical addresses are there, too),
    // which no 32-bit place would, and all move: the lists are not mistaken for each other.
    let linked = 0;
    const [before, after] = [new DataView(kernel.memory.buffer), new DataView(moved.buffer)];
    const first = Number(BigInt.asUintN(32, kernel.base));
    for (const place of word64) {
      const at = place - first;
      if (after.getBigUint64(at, true) - before.getBigUint64(at, true) !== 0x1a20_0000n)
        throw new Error(`not moved at ${place.toString(16)}`);
      if (before.getBigUint64(at, true) >= 0xffff_ffff_8000_0000n) linked++;
    }
    expect(linked / word64.length).toBeGreaterThan(0.9);
    const symbols = new Map(
      embeddedSymbols(moved, kernel.base + 0x1a20_0000n)!.map(({ name, address }) => [name, address]),
    );
    for (const name of ["_stext", "_etext", "init_top_pgt", "linux_banner"])
      expect(symbols.get(name), name).toBe(kernel.symbol(name)! + 0x1a20_0000n);
  });

  test.skipIf(!found)("boots with a copy a node, moved by KASLR, all invariants hold", async () => {
    const { code, out, error } = await invoke(
      "boot",
      "--json",
      "--kernel",
      found!.vmlinuz,
      "--machine",
      "tiny-2-node",
      "--kaslr",
      "both",
    );
    expect([code, error]).toEqual([0, ""]);
    expect(JSON.parse(out) as { kernel: string; invariants: { violated: unknown[] } }).toMatchObject({
      kernel: `Linux ${found!.abi}`,
      invariants: { violated: [] },
    });
  });

  test.skipIf(!found)("loads modules from the folder beside it, which is named nowhere", async () => {
    const { code, out, error } = await invoke(
      "modules",
      "--json",
      "--kernel",
      found!.vmlinuz,
      "--load",
      "xfs,nf_tables,vhost_net",
    );
    expect([code, error]).toEqual([0, ""]);
    const [{ modules, refused }] = (
      JSON.parse(out) as { runs: [{ modules: { name: string; patched: number }[]; refused: unknown[] }] }
    ).runs;
    expect(refused).toEqual([]);
    expect(modules.map(({ name }) => name)).toEqual(expect.arrayContaining(["xfs", "nf_tables", "vhost_net"]));
    expect(modules.find(({ name }) => name === "xfs")!.patched).toBeGreaterThan(1_000);
  });

  test.skipIf(!found)("a module of another release's is refused as the file it is, with a folder given", async () => {
    let other: { modules: string; abi: string };
    try {
      other = fetchReleaseKernel(release === "trixie" ? "bullseye" : "trixie");
    } catch {
      return console.error("SKIPPED: no second kernel");
    }
    const file = readdirSync(other.modules, { recursive: true, encoding: "utf8" }).find((each) =>
      /^fat\.ko/.test(basename(each)),
    )!;
    const { code, out, error } = await invoke(
      "modules",
      "--kernel",
      found!.vmlinuz,
      "--modules",
      found!.modules,
      "--load",
      `${other.modules}/${file}`,
    );
    expect(code).not.toBe(0);
    expect(out + error).toMatch(new RegExp(`fat: .*${other.abi.replaceAll("+", "\\+")}`));
  });
});
