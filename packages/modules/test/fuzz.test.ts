/// <reference types="node" />
/**
 * Mutated module files: the error Linux would give or a module that works, never a crash, a hang, or anything left
 * behind.
 */
import { describe, expect, test } from "vitest";
import { InvariantError } from "@kreplica/mm-core/api";
import { ModuleError, readModule } from "../src/index.js";
import { tinyHost, tinyModule } from "../src/testing.js";
import { kernelPackage, modulePaths, readFile } from "./support/kernel-package.js";
import { loaderKernel } from "./support/kernel.js";

/** Mutated files in all. */
const FILES = process.env["KREPLICA_PROOF"] === "1" ? 40_000 : 10_000;

/** xorshift32: the same files every time. */
const numbers = (seed: number) => {
  let state = seed | 1;
  return (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
};
const INTERESTING = [0, 1, 2, 4, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** A copy with one to four places changed, sometimes cut. @param hot offsets that mean something */
function mutate(bytes: Uint8Array, hot: Uint32Array, pick: (below: number) => number): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  for (let times = 1 + pick(4); times > 0; times--) {
    const at = pick(8) === 0 ? pick(copy.length) : hot[pick(hot.length)]!;
    const how = pick(4);
    if (how === 0) copy[at]! ^= 1 << pick(8);
    else if (how === 1) copy[at] = pick(256);
    else if (at + 4 <= copy.length)
      view.setUint32(at, how === 2 ? INTERESTING[pick(INTERESTING.length)]! : pick(copy.length * 2), true);
  }
  return pick(16) === 0 ? copy.subarray(0, pick(copy.length)) : copy;
}

describe("mutated files", () => {
  test(`${FILES.toLocaleString("en")} of them`, () => {
    const file = tinyModule({
      exports: ["one", "two"],
      versions: { kernel_function: 3 },
      sections: [
        {
          name: ".return_sites",
          flags: 2,
          bytes: new Uint8Array(8),
          relocations: [
            { offset: 0, type: 2, symbol: "cleanup_module", addend: 0 },
            { offset: 4, type: 2, symbol: "one", addend: 0 },
          ],
        },
        {
          name: "__jump_table",
          flags: 3,
          bytes: new Uint8Array(16),
          align: 8,
          relocations: [
            { offset: 0, type: 2, symbol: "one", addend: 0 },
            { offset: 4, type: 2, symbol: "two", addend: 0 },
            { offset: 8, type: 24, symbol: "table", addend: 0 },
          ],
        },
        {
          name: ".altinstructions",
          flags: 2,
          bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 5, 3),
          relocations: [
            { offset: 0, type: 2, symbol: "one", addend: 0 },
            { offset: 4, type: 2, symbol: "two", addend: 0 },
          ],
        },
        { name: "__ex_table", flags: 2, bytes: new Uint8Array(24) },
        { name: ".orc_unwind_ip", flags: 2, bytes: new Uint8Array(16) },
        { name: ".orc_unwind", flags: 2, bytes: new Uint8Array(24) },
        {
          name: "__mcount_loc",
          flags: 2,
          bytes: new Uint8Array(16),
          relocations: [{ offset: 0, type: 1, symbol: "two", addend: 0 }],
        },
        { name: ".data..percpu", flags: 3, bytes: new Uint8Array(32), align: 8 },
      ],
    });
    // Everything but the filling of the big sections.
    const hot = Uint32Array.from([...file.keys()].filter((at) => file[at] !== 0x90 && file[at] !== 7));
    const kernel = loaderKernel({ host: tinyHost() });
    const accepted = kernel.loader.load(readModule(file), 0);
    kernel.loader.unload(accepted.name);
    const [used, symbols] = [kernel.allocator.used, kernel.host.symbols.size];
    const outcomes = new Map<string, number>();
    const pick = numbers(2023);
    for (let i = 0; i < FILES; i++) {
      const bytes = mutate(file, hot, pick);
      let outcome = "loaded";
      try {
        const module = kernel.loader.load(readModule(bytes), 0);
        kernel.loader.finishInit(module);
        if (module.memories.size > 0 && i % 64 === 0) expect(kernel.vm.counters.used).toBeGreaterThan(0);
        try {
          kernel.loader.unload(module.name);
        } catch (error) {
          // A mutation may have taken the name of the exit function: such a module stays until the kernel goes. Start a
          // new one.
          expect((error as ModuleError).code).toBe("permanent");
          outcomes.set("permanent", (outcomes.get("permanent") ?? 0) + 1);
          (kernel.loader as unknown as { remove(module: unknown): void }).remove(module);
          continue;
        }
      } catch (error) {
        if (!(error instanceof ModuleError)) throw new Error(`file ${i}: ${String(error)}`, { cause: error });
        outcome = error.code;
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (kernel.vm.counters.areas !== 0 || kernel.vm.counters.used !== 0 || kernel.host.symbols.size !== symbols)
        throw new InvariantError(`file ${i} (${outcome}) left something behind`);
    }
    kernel.vm.purge();
    // Table pages of addresses used for the first time stay, one a node for each 2 MiB.
    expect(kernel.allocator.used - used).toBeLessThanOrEqual(4);
    console.log(
      [...outcomes]
        .sort(([, a], [, b]) => b - a)
        .map(([code, count]) => `${code} ${count}`)
        .join(", "),
    );
    // The mutations reach every stage.
    for (const code of [
      "loaded",
      "bad-elf",
      "not-a-module",
      "missing-section",
      "vermagic",
      "unknown-symbol",
      "bad-symbol",
      "relocation-outside",
      "relocation-target",
      "unknown-relocation",
      "bad-site",
      "too-large",
    ]) {
      expect(outcomes.get(code) ?? 0, code).toBeGreaterThan(0);
    }
  });
});

const found = kernelPackage();
describe.skipIf(typeof found === "string")("mutated real files", () => {
  test("2,000 mutations of real modules are read or refused", () => {
    const paths = [...modulePaths((found as { modules: string }).modules).values()]
      .map(readFile)
      .filter((bytes) => bytes.length < 40_000)
      .slice(0, 40);
    const pick = numbers(7);
    const outcomes = new Set<string>();
    for (let i = 0; i < 2000; i++) {
      const bytes = paths[i % paths.length]!;
      const headers = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(40, true));
      const hot = Uint32Array.from({ length: 64 + bytes.length - headers }, (_, at) =>
        at < 64 ? at : headers + at - 64,
      );
      try {
        readModule(mutate(bytes, hot, pick));
        outcomes.add("read");
      } catch (error) {
        if (!(error instanceof ModuleError)) throw error;
        outcomes.add(error.code);
      }
    }
    expect(outcomes.has("bad-elf") && outcomes.has("read")).toBe(true);
  });
});
