/**
 * `hot-subset:fork-1`: the pages that the shipped recording fetches, no more and no fewer, and no fetch of it is far.
 */
import { dataFile } from "@kreplica/recordings";
import { Kind } from "@kreplica/trace";
import { expect, test } from "vitest";
import { readTraceFile } from "../src/inputs/trace-file.js";
import { shippedTextProfile } from "../src/text-profile.js";
import { tracedKernel } from "../src/traced-kernel.js";
import { invoke } from "./invoke.js";

const FORK = dataFile("traces/hsw-fork1.kt.zst");

test("every page of text that a byte was fetched from, ascending and apart", () => {
  const { stext, etext } = tracedKernel("recorded");
  const pages = new Set<number>();
  // The slow way: each byte of each record, by its whole address.
  readTraceFile(FORK, ({ kind, lo, hi, b, length }) => {
    for (let i = 0; i < length; i++)
      for (let byte = 0; kind[i] === Kind.Fetch && byte < b[i]!; byte++) {
        const address = (BigInt(hi[i]!) << 32n) | BigInt(lo[i]! + byte);
        if (address >= stext && address < etext) pages.add(Number((address - stext) >> 12n));
      }
  });
  const runs = shippedTextProfile("fork-1")!;
  const listed = runs.flatMap(({ first, pages: many }) => Array.from({ length: many }, (_, nth) => first + nth));
  expect(listed).toEqual([...pages].sort((a, b) => a - b));
  runs.forEach(({ first }, nth) => {
    if (nth > 0) expect(first).toBeGreaterThan(runs[nth - 1]!.first + runs[nth - 1]!.pages);
  });
});

test("a name of which no recording ships stands for nothing", () => {
  expect(shippedTextProfile("fork-2")).toBeUndefined();
  expect(shippedTextProfile("0-3")).toBeUndefined();
});

test("two tests' pages together, each once", async () => {
  const bytes = async (policy: string): Promise<number> => {
    const { out } = await invoke(["boot", "--machine", "tiny-2-node", "--policy", policy, "--json"]);
    const { memory } = JSON.parse(out) as { memory: { perNode: { textBytes: number }[] } };
    return memory.perNode[1]!.textBytes;
  };
  // Counted from the recording by another program: 194 pages, 104 of mount's.
  expect(await bytes("hot-subset:fork-1")).toBe(194 * 4096);
  expect(await bytes("hot-subset:mount")).toBe(104 * 4096);
  const both = await bytes("hot-subset:fork-1+mount");
  expect(both).toBeGreaterThan(194 * 4096);
  expect(both).toBeLessThan((194 + 104) * 4096);
});

interface Compared {
  readonly tests: readonly {
    readonly cache: string;
    readonly perNode: { readonly account: { readonly text: { readonly remote: number } } };
    readonly singleCopy: { readonly account: { readonly text: { readonly remote: number } } };
  }[];
}

test("with it nothing of the test's text comes from another node; with one page of it, some", async () => {
  const far = async (policy: string): Promise<readonly [number, number]> => {
    const { out } = await invoke(["compare", "--policy", policy, "--traces", FORK, "--cpu", "12", "--json"]);
    const cold = (JSON.parse(out) as Compared).tests.find(({ cache }) => cache === "cold")!;
    return [cold.singleCopy.account.text.remote, cold.perNode.account.text.remote];
  };
  const [single, all] = await far("hot-subset:fork-1");
  expect(single).toBeGreaterThan(0);
  expect(all).toBe(0);
  const [, few] = await far(`hot-subset:${shippedTextProfile("fork-1")![0]!.first}`);
  expect(few).toBeGreaterThan(0);
  expect(few).toBeLessThan(single);
});
