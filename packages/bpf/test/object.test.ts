/// <reference types="node" />
/** Objects as clang builds them: programs, maps, relocations, functions, lines; and what is refused, and how. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { disassemble } from "../src/isa/disassemble.js";
import { readObject } from "../src/object/read-object.js";
import { buildObject, haveClang } from "./support/clang.js";

const code = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof BpfError) return error.code;
    throw error;
  }
  return "accepted";
};

describe.skipIf(!haveClang)("objects built by clang", () => {
  test("maps of every kind have the shape that the source declares", () => {
    const { maps, license, programs } = readObject(buildObject("maps"));
    expect(license).toBe("MIT");
    expect(
      maps.map(({ name, kind, keyBytes, valueBytes, entries, flags }) => [
        name,
        kind,
        keyBytes,
        valueBytes,
        entries,
        flags,
      ]),
    ).toEqual(
      expect.arrayContaining([
        ["counts", "array", 4, 8, 4, 0],
        ["records", "hash", 8, 16, 16, 0],
        ["per_cpu", "percpu_array", 4, 8, 1, 0],
        ["per_cpu_hash", "percpu_hash", 4, 8, 8, 0],
        ["recent", "lru_hash", 4, 4, 2, 0],
        ["ring", "ringbuf", 0, 0, 4096, 0],
        ["routes", "lpm_trie", 8, 4, 8, 1],
      ]),
    );
    expect(maps.length).toBe(7);
    expect(programs.map((each) => [each.name, each.type, each.target])).toContainEqual([
      "count",
      "raw_tracepoint",
      "count",
    ]);
  });

  test("map references carry the index of their map", () => {
    const { maps, programs } = readObject(buildObject("maps"));
    const names = (program: string): string[] =>
      disassemble(programs.find((each) => each.name === program)!.code)
        .flatMap((line) => /map_index (\d+)/.exec(line)?.slice(1) ?? [])
        .map((index) => maps[Number(index)]!.name);
    expect(names("count")).toEqual(["counts", "per_cpu"]);
    expect(names("touch")).toEqual(["per_cpu_hash", "recent"]);
    expect(names("route")).toEqual(["routes"]);
  });

  test("functions follow their program, calls lead to their first slot, global data to its offset", () => {
    const { maps, programs } = readObject(buildObject("calls"));
    const main = programs.find((each) => each.name === "main_program")!;
    expect(main.functions.map((each) => each.name)).toEqual(["main_program", "sum", "digit"]);
    const calls = disassemble(main.code).flatMap((line) => {
      const m = /^(\d+): .* call pc\+?(-?\d+)/.exec(line);
      return m ? [Number(m[1]) + 1 + Number(m[2])] : [];
    });
    for (const to of calls) expect(main.functions.map((each) => each.start)).toContain(to);
    expect(calls.length).toBeGreaterThanOrEqual(2);
    const globals = maps.filter((map) => map.initial);
    expect(globals.map((map) => [map.name, map.flags])).toEqual(
      expect.arrayContaining([
        [".data", 0],
        [".rodata", 0x80],
        [".bss", 0],
      ]),
    );
    expect(
      globals
        .find((map) => map.name === ".data")!
        .initial!.slice()
        .sort()
        .slice(-3),
    ).toEqual(Uint8Array.of(5, 7, 11));
  });

  test("each source line that BTF knows belongs to its instruction", () => {
    const { programs } = readObject(buildObject("calls"));
    const chain = programs.find((each) => each.name === "chain")!;
    const line = [...chain.lines.values()].find((each) => each.text.includes("tail_call(context"));
    expect(line?.file).toMatch(/calls\.c$/);
    expect(line?.line).toBe(16);
    const main = programs.find((each) => each.name === "main_program")!;
    expect(main.lines.get(main.functions[2]!.start)?.text).toMatch(/digit|table/);
  });

  test("legacy map definitions and struct_ops variables are read", () => {
    expect(
      readObject(buildObject("legacy"))
        .maps.map((map) => [map.name, map.kind, map.keyBytes, map.valueBytes, map.entries])
        .sort(),
    ).toEqual([
      ["first", "hash", 4, 8, 10],
      ["second", "array", 4, 16, 3],
    ]);
    const [ops] = readObject(buildObject("struct-ops")).structOps;
    expect(ops).toMatchObject({
      name: "steady",
      structure: "congestion_ops",
      members: [
        { name: "start", offset: 0, program: "start" },
        { name: "acked", offset: 16, program: "acked" },
      ],
    });
    expect(ops!.value.length).toBe(40);
  });

  test("every mcpu level that this clang has is read", () => {
    for (const cpu of ["v1", "v2", "v3"])
      for (const name of ["maps", "packet"])
        expect(readObject(buildObject(name, `-mcpu=${cpu}`)).programs.length).toBeGreaterThan(1);
  });

  test("a foreign file, a foreign machine, a cut file: refused with the reason", () => {
    const good = buildObject("maps");
    const edit = (at: number, value: number): Uint8Array => {
      const copy = good.slice();
      copy[at] = value;
      return copy;
    };
    expect(code(() => readObject(new TextEncoder().encode("#!/bin/sh\n")))).toBe("elf-not-elf");
    expect(code(() => readObject(edit(18, 62)))).toBe("elf-wrong-machine");
    expect(code(() => readObject(edit(16, 2)))).toBe("elf-wrong-type");
    expect(code(() => readObject(edit(4, 1)))).toBe("elf-wrong-class");
    expect(code(() => readObject(good.subarray(0, 40)))).toBe("elf-cut");
    expect(code(() => readObject(good.subarray(0, good.length - 100)))).toBe("elf-cut");
  });

  test("fuzz: a mutated object is read or refused with a typed error, quickly", () => {
    const objects = ["maps", "calls", "struct-ops"].map((name) => buildObject(name));
    const seen = new Set<string>();
    const edit = fc.record({
      at: fc.nat(0xffff),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 255, 127, 128)),
      table: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.nat(2),
        fc.array(edit, { minLength: 1, maxLength: 6, size: "max" }),
        fc.option(fc.nat(0xffff), { freq: 8 }),
        (which, edits, cut) => {
          const bytes = objects[which]!.slice();
          const tables = Number(new DataView(bytes.buffer).getBigUint64(40, true));
          // Half the edits go to the section table at the end and to the header: there one byte changes most.
          for (const { at, byte, table } of edits)
            bytes[table ? (at % 2 === 0 ? tables + (at % (bytes.length - tables)) : at % 64) : at % bytes.length] =
              byte;
          seen.add(code(() => readObject(cut === null ? bytes : bytes.subarray(0, cut % bytes.length))));
        },
      ),
      { numRuns: 3000 },
    );
    expect([...seen].sort()).toEqual(expect.arrayContaining(["accepted", "elf-bad-table", "elf-cut", "elf-not-elf"]));
  });
});
