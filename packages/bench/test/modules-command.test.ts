/// <reference types="node" />
/** `kreplica modules` as a user runs it: exit codes, messages, the table, the JSON document. */
import { describe, expect, test } from "vitest";
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";
import { invokeIn } from "./invoke.js";

const found = ((): { vmlinuz: string; modules: string } | undefined => {
  try {
    return fetchKernel() as { vmlinuz: string; modules: string };
  } catch (error) {
    console.error(`SKIPPED, no kernel package: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
})();

describe("without a kernel", () => {
  test.each([
    [["modules"], "--kernel"],
    [["modules", "--kernel", "/nowhere/vmlinuz", "--all"], "/nowhere/vmlinuz"],
    [["modules", "--kernel", "package.json", "--load", "x"], "package.json"],
    [["modules", "--kernel", "x", "--place", "somewhere", "--all"], "--place"],
    [["modules", "--kernel", "x", "--place", "7", "--all"], "--place"],
    [["modules", "--kernel", "x", "--replicate", "from:", "--all"], "--replicate"],
    [
      ["modules", "--kernel", "x", "--policy", "rfc-v1", "--place", "local", "--all"],
      "rfc-v1 takes the base copy of every module from node 0",
    ],
  ])("%j is refused with exit code 2 and says where", async (words, named) => {
    const { code, out, error } = await invokeIn(words);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toContain(named);
    expect(error).not.toContain("    at ");
  });
});

describe.skipIf(!found)("with the kernel of the day", () => {
  const kernel = ["modules", "--kernel", found?.vmlinuz ?? ""];

  test("a module and what it needs, in a table no wider than 100 letters", async () => {
    const { code, out, error } = await invokeIn([...kernel, "--load", "xfs", "--rfc-v1"]);
    expect([code, error]).toEqual([0, ""]);
    expect(out).toContain("libcrc32c");
    expect(out).toContain("rfc-v1");
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test("the JSON document adds up", async () => {
    const { code, out } = await invokeIn([
      ...kernel,
      "--load",
      "nf_tables",
      "--json",
      "--place",
      "0",
      "--machine",
      "xeon-8280-4s",
    ]);
    expect(code).toBe(0);
    const document = JSON.parse(out) as {
      runs: {
        total: { bytesByNode: { node: number; bytes: number }[]; replication: { stores: number } };
        modules: {
          name: string;
          copies: number;
          bytesByNode: { bytes: number }[];
          textBytes: number;
          rodataBytes: number;
        }[];
      }[];
    };
    const [run] = document.runs;
    expect(run!.modules.map(({ name }) => name).sort()).toEqual(["libcrc32c", "nf_tables", "nfnetlink"]);
    const pages = (bytes: number): number => Math.ceil(bytes / 4096);
    const copied = run!.modules.reduce(
      (sum, { textBytes, rodataBytes }) => sum + pages(textBytes) + pages(rodataBytes),
      0,
    );
    for (const { bytes } of run!.total.bytesByNode.slice(1)) expect(bytes).toBe(copied * 4096);
    // One store a page and copy: the base copy is the boot table's too.
    expect(run!.total.replication.stores).toBe(copied * 3);
    expect(run!.modules.every(({ copies }) => copies === 3)).toBe(true);
  });

  test("a module that is not there, one that is no module, and one for another kernel", async () => {
    const missing = await invokeIn([...kernel, "--load", "no_such_module"]);
    expect([missing.code, missing.error]).toEqual([2, expect.stringContaining("no_such_module")]);
    const wrong = await invokeIn([...kernel, "--load", "./package.json.ko"]);
    expect(wrong.code).toBe(2);
    const alone = await invokeIn([...kernel, "--load", `${found!.modules}/kernel/fs/xfs/xfs.ko`]);
    expect([alone.code, alone.error]).toEqual([2, expect.stringContaining("libcrc32c")]);
  });

  test("base copies interleaved over all nodes, or on a given one, and copies by distance", async () => {
    type Run = { runs: { modules: { name: string; copies: number; bytesByNode: { bytes: number }[] }[] }[] };
    const modules = async (...words: string[]): Promise<Run["runs"][0]["modules"]> => {
      const { code, out, error } = await invokeIn([...kernel, "--load", "nf_tables", "--json", ...words]);
      expect([code, error]).toEqual([0, ""]);
      return (JSON.parse(out) as Run).runs[0]!.modules;
    };
    const machine = ["--machine", "xeon-8280-4s"];
    // Nothing is copied: interleaved, nodes differ by a page of each of seven memories at most.
    for (const { bytesByNode, copies } of await modules(...machine, "--place", "interleaved", "--replicate", "none")) {
      const bytes = bytesByNode.map((each) => each.bytes);
      expect([copies, Math.max(...bytes) - Math.min(...bytes) <= 7 * 4096]).toEqual([0, true]);
    }
    for (const { bytesByNode } of await modules(...machine, "--place", "2", "--replicate", "upto:1")) {
      expect(bytesByNode.map(({ bytes }) => bytes > 0)).toEqual([false, false, true, false]);
    }
    // Neighbours are at 21 and further on that machine: a copy for a distance of 21, none for one nobody has.
    expect((await modules(...machine, "--replicate", "distance:21")).map(({ copies }) => copies)).toEqual([3, 3, 3]);
    expect((await modules(...machine, "--replicate", "distance:200")).map(({ copies }) => copies)).toEqual([0, 0, 0]);
  });

  test("both ways side by side, in counts and in the machine's time", async () => {
    const { code, out } = await invokeIn([...kernel, "--load", "xfs", "--rfc-v1", "--cpu", "0", "--json"]);
    expect(code).toBe(0);
    type Total = {
      replication: { stores: number; flushes: number; requests: number };
      modelled: {
        copies: {
          interrupts: number;
          elsewhere: number;
          stores: number;
          copying: number;
          total: { low: number; value: number; high: number };
        };
      };
    };
    const [ours, theirs] = (JSON.parse(out) as { runs: { total: Total }[] }).runs.map(({ total }) => total);
    expect(theirs!.replication.stores).toBe(2 * ours!.replication.stores);
    // One flush a module against one an area.
    expect([ours!.replication.flushes, theirs!.replication.flushes]).toEqual([2, 4]);
    expect(theirs!.modelled.copies.interrupts).toBeCloseTo(2 * ours!.modelled.copies.interrupts, 6);
    for (const {
      modelled: { copies },
    } of [ours!, theirs!]) {
      expect(copies.total.low).toBeLessThan(copies.total.value);
      expect(copies.total.value).toBeLessThan(copies.total.high);
      expect(copies.stores + copies.copying + copies.interrupts).toBeCloseTo(copies.total.value, 3);
    }
    // Filling is the same work for both.
    expect(theirs!.modelled.copies.copying / ours!.modelled.copies.copying).toBeCloseTo(1, 2);
    expect(ours!.modelled.copies.total.value).toBeLessThan(theirs!.modelled.copies.total.value);
  });

  test("copies only where the policy says", async () => {
    const { code, out } = await invokeIn([...kernel, "--load", "xfs", "--json", "--replicate", "from:65536"]);
    expect(code).toBe(0);
    const { modules } = (JSON.parse(out) as { runs: { modules: { name: string; copies: number }[] }[] }).runs[0]!;
    expect(modules.map(({ name, copies }) => [name, copies])).toEqual([
      ["libcrc32c", 0],
      ["xfs", 1],
    ]);
  });
});
