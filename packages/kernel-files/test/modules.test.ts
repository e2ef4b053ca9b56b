/**
 * Modules from bytes: what is wrong with a file is said of the file; one that cannot be had keeps none of the others
 * back.
 */
import { gzipSync } from "node:zlib";
import { readModulesDep } from "@kreplica/modules";
import { tinyModule } from "@kreplica/modules/testing";
import { describe, expect, test } from "vitest";
import { moduleFromBytes, type ModuleDirectory, readInOrder } from "../src/index.js";

/** Modules in memory: each with what it needs, or "cut". */
function directoryOf(
  modules: Readonly<Record<string, readonly string[] | "cut">>,
  dependencies?: string,
): ModuleDirectory {
  const path = (name: string): string | undefined => (name in modules ? `${name}.ko` : undefined);
  return {
    names: Object.keys(modules).sort(),
    path,
    needs: dependencies === undefined ? undefined : readModulesDep(dependencies),
    read(name) {
      const needs = modules[name]!;
      const bytes = tinyModule({ name, depends: needs === "cut" ? "" : needs.join(",") });
      return moduleFromBytes(needs === "cut" ? bytes.subarray(0, 100) : bytes, name, path(name)!);
    },
  };
}
const ordered = async (directory: ModuleDirectory, wanted = directory.names) => {
  const read: string[] = [];
  const { files, needed, unusable } = await readInOrder(directory, wanted, (name) => read.push(name));
  return {
    names: files.map(({ name }) => name),
    needed,
    read: read.sort(),
    unusable: unusable.map(({ name, fault }) => `${name}: ${fault.file}: ${fault.reason}`),
  };
};

describe("in order", () => {
  test("each after what it needs, which is counted; nothing is set aside", async () => {
    const directory = directoryOf({ a: ["c"], b: [], c: ["d"], d: [] });
    expect(await ordered(directory, ["b", "a", "b"])).toEqual({
      names: ["b", "d", "c", "a"],
      needed: 2,
      read: ["a", "b", "c", "d"],
      unusable: [],
    });
  });

  test("a cut file among good ones, and whatever needs it, directly or not", async () => {
    const directory = directoryOf({ a: ["c"], b: [], c: ["bad"], bad: "cut", e: ["b"] });
    const { names, needed, unusable } = await ordered(directory);
    expect([names, needed]).toEqual([["b", "e"], 0]);
    expect(unusable.sort()).toEqual([
      "a: a.ko: needs bad, whose file cannot be used",
      expect.stringMatching(/^bad: bad\.ko: bytes 0x\w+ to 0x\w+ of a file of 0x64$/),
      "c: c.ko: needs bad, whose file cannot be used",
    ]);
  });

  test("what is not there, and a circle, hold up those alone that need it", async () => {
    const directory = directoryOf({ a: ["nowhere"], b: [], x: ["y"], y: ["x"] });
    const { names, unusable } = await ordered(directory);
    expect(names).toEqual(["b"]);
    expect(unusable).toEqual([
      "a: a.ko: a: needs nowhere, which is not there (-ENOENT)",
      expect.stringMatching(/^x: x\.ko: x: needs itself: x -> y -> x/),
      expect.stringMatching(/^y: y\.ko: y: needs itself: y -> x -> y/),
    ]);
  });

  test("by modules.dep too, a cut file that nobody asked for included", async () => {
    const directory = directoryOf({ a: [], b: [], bad: "cut" }, "a.ko: bad.ko\nb.ko:\nbad.ko:\n");
    expect(await ordered(directory, ["a", "b"])).toMatchObject({
      names: ["b"],
      needed: 0,
      unusable: [expect.stringMatching(/^bad: /), "a: a.ko: needs bad, whose file cannot be used"],
    });
  });
});

const whole = tinyModule({ name: "a" });
test.each<[string, Uint8Array, RegExp]>([
  ["random bytes", Uint8Array.of(1, 2, 0xab, 4), /^a\.ko: is no kernel module: it begins with 01 02 ab 04/],
  ["nothing", new Uint8Array(), /^a\.ko: is no kernel module: it is empty/],
  ["packed by gzip", gzipSync(whole), /^a\.ko: is no kernel module: it begins with 1f 8b 08 00/],
  ["half a module", whole.subarray(0, whole.length >> 1), /^a\.ko at byte \d+: .*fetch or build it again\.$/is],
  [
    "another architecture's",
    whole.map((byte, at) => (at === 18 ? 183 : byte)),
    /^a\.ko: .*machine 183.*give a module built for x86-64/is,
  ],
  ["a cut xz", Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4), /^a\.ko: cannot be unpacked \(xz\)/],
  ["a cut zstd", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), /^a\.ko: cannot be unpacked \(zstd\)/],
])("%s", async (_what, bytes, said) => {
  await expect(moduleFromBytes(bytes, "a", "a.ko")).rejects.toThrow(said);
});

test("a whole one is read", async () => {
  expect((await moduleFromBytes(whole, "a", "a.ko")).name).toBe("a");
});
