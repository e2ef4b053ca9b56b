/** Options that commands share: defaults, choices, and what is refused. */
import { defaultPreset, preset, presets } from "@kreplica/machines";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readMachine, readPlacement, wholeNumber } from "../src/commands/options.js";
import { jsonText } from "../src/report/documents/json-text.js";

const tiny = preset("tiny-2-node")!;

test("as recorded: image on the first node, test on the first CPU of the next", () => {
  expect(readPlacement({}, preset("recorded-guest")!)).toEqual({ cpu: 2, masterNode: 0 });
  expect(readPlacement({}, defaultPreset)).toEqual({ cpu: 12, masterNode: 0 });
  expect(readPlacement({ masterNode: 1 }, tiny)).toEqual({ cpu: 0, masterNode: 1 });
  expect(readPlacement({ masterNode: 1 }, preset("xeon-8280-4s")!)).toEqual({ cpu: 0, masterNode: 1 });
  expect(readPlacement({ cpu: 1 }, tiny)).toEqual({ cpu: 1, masterNode: 0 });
  expect(readPlacement({ cpu: 3, masterNode: 1 }, tiny)).toEqual({ cpu: 3, masterNode: 1 });
});

test("only one node: its first CPU; a memoryless first node holds no image, a memory-only node runs no test", () => {
  const one = { ...tiny, nodes: [tiny.nodes[0]!], cpus: tiny.cpus.slice(0, 2) };
  expect(readPlacement({}, one)).toEqual({ cpu: 0, masterNode: 0 });
  const memoryless = { ...tiny, nodes: [{ ...tiny.nodes[0]!, memoryBytes: 0 }, tiny.nodes[1]!] };
  expect(readPlacement({}, memoryless)).toEqual({ cpu: 0, masterNode: 1 });
  const three = {
    ...tiny,
    nodes: [tiny.nodes[0]!, { id: 1, memoryBytes: 2 ** 21 }, { id: 5, memoryBytes: 2 ** 21 }],
    cpus: tiny.cpus.map((cpu) => (cpu.node === 1 ? { ...cpu, node: 5 } : cpu)),
  };
  expect(readPlacement({}, three)).toEqual({ cpu: 2, masterNode: 0 });
});

test("no such CPU, no such node, no memory there", () => {
  expect(() => readPlacement({ cpu: 4 }, tiny)).toThrow("--cpu: tiny-2-node has no CPU 4. Choose from 0-3.");
  expect(() => readPlacement({ masterNode: 2 }, tiny)).toThrow(
    "--master-node: tiny-2-node has no node 2. Choose from 0-1.",
  );
  const memoryless = { ...tiny, nodes: [{ ...tiny.nodes[0]!, memoryBytes: 0 }, tiny.nodes[1]!] };
  expect(() => readPlacement({ masterNode: 0 }, memoryless)).toThrow(
    "--master-node: node 0 of tiny-2-node has no memory. Choose from 1.",
  );
  for (const text of ["-1", "1.5", "x", "", "1e3"])
    expect(() => wholeNumber("--cpu")(text), text).toThrow(/^--cpu: .* is not a whole number/);
});

test("whatever the choice, the CPU and the node exist and the node has memory", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...presets),
      fc.option(fc.nat(300), { nil: undefined }),
      fc.option(fc.nat(20), { nil: undefined }),
      (machine, cpu, masterNode) => {
        let placement;
        try {
          placement = readPlacement(
            { ...(cpu === undefined ? {} : { cpu }), ...(masterNode === undefined ? {} : { masterNode }) },
            machine,
          );
        } catch {
          expect(
            (cpu !== undefined && cpu >= machine.cpus.length) ||
              (masterNode !== undefined && masterNode >= machine.nodes.length),
          ).toBe(true);
          return;
        }
        expect(machine.cpus.some((each) => each.id === placement.cpu)).toBe(true);
        expect(machine.nodes.find((node) => node.id === placement.masterNode)!.memoryBytes).toBeGreaterThan(0);
        if (cpu === undefined)
          expect(machine.cpus.find((each) => each.id === placement.cpu)!.node).not.toBe(placement.masterNode);
      },
    ),
  );
});

test("the machine: a preset, the default, or a fault", () => {
  expect(readMachine({})).toBe(defaultPreset);
  expect(readMachine({ machine: "tiny-2-node" })).toBe(tiny);
  expect(() => readMachine({ base: "tiny-2-node" })).toThrow(/^--base: given without --machine/);
  expect(() => readMachine({ machine: "tiny-2-node", base: "tiny-2-node" })).toThrow(
    /^--base: tiny-2-node is a preset/,
  );
});

test("JSON text says what JSON.stringify says, and a short value stays on its line", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(jsonText(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
  expect(jsonText({ a: [1, 2], b: { c: undefined, d: "x" }, e: [], f: {} })).toBe(
    '{\n  "a": [1, 2],\n  "b": { "d": "x" },\n  "e": [],\n  "f": {}\n}\n',
  );
});
