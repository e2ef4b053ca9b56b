/// <reference types="node" />
/**
 * kreplica's own machine files: written and read back, on a base, refused with line and field; the published schema is
 * current.
 */
import { InputError } from "@kreplica/inputs";
import {
  machineDocument,
  machineFromJson,
  machineJsonSchema,
  preset,
  presets,
  type wholeMachine,
} from "@kreplica/machines";
import { expect, test } from "vitest";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import type { z } from "zod";
import { machineText } from "../../src/report/machine.js";
import { screenFor } from "../../src/report/terminal.js";
import { jsonText } from "../../src/report/documents/json-text.js";

/** Names of all fields at all depths: `costs.ipiCycles.low`. */
type Fields<T> = T extends readonly (infer Element)[]
  ? Fields<Element>
  : T extends object
    ? { [K in keyof T & string]-?: K | `${K}.${Fields<NonNullable<T[K]>> & string}` }[keyof T & string]
    : never;
type Read = Omit<z.output<typeof wholeMachine>, "$schema" | "schema">;

test("the schema has every field of a machine, and no other", () => {
  const missing: [Exclude<Fields<MachineSpec>, Fields<Read>>] extends [never]
    ? "none"
    : Exclude<Fields<MachineSpec>, Fields<Read>> = "none";
  const surplus: [Exclude<Fields<Read>, Fields<MachineSpec>>] extends [never]
    ? "none"
    : Exclude<Fields<Read>, Fields<MachineSpec>> = "none";
  expect([missing, surplus]).toEqual(["none", "none"]); // what matters is that it compiles
});

const find = (name: string, where: string): MachineSpec => {
  const found = preset(name);
  if (!found) throw new InputError({ file: where, reason: `no preset ${name}`, remedy: "name one" });
  return found;
};
const read = (text: string): MachineSpec => machineFromJson(text, "m.json", "m", find);
const tiny = preset("tiny-2-node")!;

// To renew it after a change of schema.ts: npx vitest run test/machine/json.test.ts -u
test("the published schema is the one that is checked", async () => {
  await expect(jsonText(machineJsonSchema())).toMatchFileSnapshot("../../schemas/kreplica.machine-1.json");
});

test.each(presets.map((each) => [each.name, each] as const))("%s is read back as it was written", (_name, machine) => {
  expect(read(jsonText(machineDocument(machine)))).toEqual(machine);
  expect(read(JSON.stringify(machineDocument(machine)))).toEqual(machine);
});

test("a cost of lines from cores of the same L3 may be given, and need not be", () => {
  const { cacheToCacheNs } = tiny;
  expect(read(JSON.stringify({ base: "tiny-2-node", cacheToCacheNs })).cacheToCacheNs).toEqual(cacheToCacheNs);
  const sameL3 = { value: 23, source: "measured here" };
  expect(
    read(JSON.stringify({ base: "tiny-2-node", cacheToCacheNs: { ...cacheToCacheNs, sameL3 } })).cacheToCacheNs,
  ).toEqual({ ...cacheToCacheNs, sameL3 });
  expect(() =>
    read(
      JSON.stringify({ base: "tiny-2-node", cacheToCacheNs: { ...cacheToCacheNs, sameL3: { ...sameL3, low: 24 } } }),
    ),
  ).toThrow(/cacheToCacheNs.sameL3/);
});

test("a replacement may be given, and need not be", () => {
  const l2 = { ...tiny.l2, replacement: { policy: "random", seed: 7 } as const };
  const machine = read(JSON.stringify({ base: "tiny-2-node", l2 }));
  expect(machine.l2).toEqual(l2);
  expect(read(jsonText(machineDocument(machine)))).toEqual(machine);
});

test("on a base, what is given replaces, all else is the base's", () => {
  const machine = read('{"base": "tiny-2-node", "latencyNs": [[80, 300], [300, 80]], "name": "slow"}');
  expect(machine).toEqual({
    ...tiny,
    name: "slow",
    latencyNs: [
      [80, 300],
      [300, 80],
    ],
    description: "m.json, on tiny-2-node",
    interconnectSource: "latencyNs: m.json; the rest: invented for tests",
    sources: machine.sources,
  });
  expect(machine.sources.slice(0, 2)).toEqual([
    "m.json, which gives name, latencyNs",
    "everything else: tiny-2-node, whose sources follow",
  ]);
});

test("the report says of replaced fields that the file gives them, of no other", () => {
  const { latencyNs, bandwidthMBs, distance, latencySpread, interconnectSource } = tiny;
  const sourceOf = (own: object): string => read(JSON.stringify({ base: "tiny-2-node", ...own })).interconnectSource;
  expect(sourceOf({})).toBe(interconnectSource);
  expect(sourceOf({ physicalBits: 46 })).toBe(interconnectSource);
  expect(sourceOf({ distance, bandwidthMBs })).toBe("bandwidthMBs, distance: m.json; the rest: invented for tests");
  expect(sourceOf({ latencyNs, bandwidthMBs, distance, latencySpread })).toBe("m.json");
  expect(sourceOf({ latencyNs, interconnectSource: "measured by me" })).toBe("measured by me");
  const text = machineText(read(JSON.stringify({ base: "tiny-2-node", latencyNs })), screenFor({}, { COLUMNS: "200" }));
  expect(text).toContain("latencyNs, bandwidthMBs, distance: latencyNs: m.json; the rest: invented for tests");
});

const document = jsonText(machineDocument(tiny));
const lineWith = (text: string): number => document.split("\n").findIndex((line) => line.includes(text)) + 1;

test.each<[string, string, RegExp]>([
  [
    "unknown field",
    document.replace('"latencySpread"', '"latencySpred"'),
    /^m\.json:\d+: latencySpred: no such field\. Did you mean latencySpread\?\nm\.json:1: latencySpread: missing\./,
  ],
  [
    "unknown inner field",
    document.replace('"cyclesPerInstruction"', '"cpi"'),
    /^m\.json:\d+: costs\.cpi: no such field/,
  ],
  ["missing field", document.replace(/ {2}"distance": .*\n/, ""), /^m\.json:1: distance: missing/],
  [
    "text for a number",
    document.replace('"physicalBits": 46', '"physicalBits": "46"'),
    new RegExp(`^m\\.json:${lineWith("physicalBits")}: physicalBits: "46" where a value of type number is expected`),
  ],
  [
    "a fraction",
    document.replace('"prefetchLines": 0', '"prefetchLines": 0.5'),
    new RegExp(`^m\\.json:${lineWith("prefetchLines")}: costs\\.prefetchLines: 0\\.5 where a whole number is expected`),
  ],
  [
    "a choice",
    document.replace('"virtualBits": 48', '"virtualBits": 52'),
    /virtualBits: 52 is not allowed\. Write 48 or 57/,
  ],
  [
    "too large",
    document.replace('"physicalBits": 46', '"physicalBits": 64'),
    /physicalBits: 64 is too large\. Write a number of at most 52/,
  ],
  ["an infinity", document.replace('"physicalBits": 46', '"physicalBits": 1e999'), /physicalBits/],
  [
    "a list for an object",
    document.replace(/"hertz": \{[^}]*\}/, '"hertz": []'),
    /hertz: a list where a value of type object is expected/,
  ],
  [
    "a replacement nobody has",
    '{"base": "tiny-2-node",\n"l2": {"bytes": 262144, "ways": 8, "cycles": {"value": 12, "source": "x"}, "replacement": {"policy": "mru"}}}',
    /^m\.json:2: l2\.replacement\.policy: "mru" is not allowed\. Write "lru" or "tree-plru"/,
  ],
  [
    "a seed too large",
    '{"base": "tiny-2-node",\n"l2": {"bytes": 262144, "ways": 8, "cycles": {"value": 12, "source": "x"}, "replacement": {"policy": "random", "seed": 4294967296}}}',
    /^m\.json:2: l2\.replacement\.seed: 4294967296 is too large/,
  ],
  [
    "a seed for what draws nothing",
    '{"base": "tiny-2-node",\n"l2": {"bytes": 262144, "ways": 8, "cycles": {"value": 12, "source": "x"}, "replacement": {"policy": "fifo", "seed": 4}}}',
    /^m\.json:2: l2\.replacement\.seed: fifo draws nothing/,
  ],
  ["null", document.replace(/^ {2}"provisional": true/m, '  "provisional": null'), /provisional: null where/],
  [
    "no source",
    document.replace(/"hertz": \{[^}]*\}/, '"hertz": { "value": 1 }'),
    new RegExp(`^m\\.json:${lineWith('"hertz"')}: hertz\\.source: missing`),
  ],
  [
    "another version",
    document.replace("kreplica.machine/1", "kreplica.machine/2"),
    /schema: "kreplica\.machine\/2" is not allowed\. Write "kreplica\.machine\/1"/,
  ],
  [
    "contradiction",
    document.replace('{ "id": 3, "node": 1', '{ "id": 3, "node": 4'),
    new RegExp(`^m\\.json:${lineWith('{ "id": 3')}: cpus\\[3\\]\\.node: there is no node 4`),
  ],
  ["no such base", '{\n"base": "huge"}', /^m\.json:2: base: no preset huge/],
  ["base with nonsense", '{"base": "tiny-2-node", "l2": {"bytes": 4096}}', /^m\.json:1:31: l2\.ways: missing/],
  ["a list", "[]", /^m\.json:1:1: not an object/],
  [
    "prototype pollution",
    '{"base": "tiny-2-node", "__proto__": {"name": "x"}}',
    /^m\.json:1:38: __proto__: no such field/,
  ],
])("%s", (_what, text, message) => {
  expect(() => read(text)).toThrow(message);
});
