/// <reference types="node" />
/**
 * Mutated machine files of every format: each is read as a sound machine or refused with an InputError, soon. Nothing
 * else.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { checkMachine, machineDocument, preset, presets } from "@kreplica/machines";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { jsonText } from "../../src/report/documents/json-text.js";
import { loadMachine, machineFromText } from "../../src/inputs/machine/load.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-fuzz-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const fixture = (name: string): string => readFileSync(new URL(`../fixtures/machine/${name}`, import.meta.url), "utf8");
const texts = [
  "haswell-2s.numactl.txt",
  "genoa-cxl.numactl.txt",
  "sparse.numactl.txt",
  "haswell-2s.mlc.txt",
  "e7-4800v2.mlc.txt",
  "genoa-cxl.both.txt",
].map(fixture);
const documents = ["tiny-2-node", "xeon-8260-8s"].map((name) => jsonText(machineDocument(preset(name)!)));

const pieces = [
  "",
  " ",
  "\n",
  "\t",
  "\0",
  "-",
  ",",
  ":",
  "0",
  "10",
  "255",
  "-1",
  "4096",
  "99999999999999999999",
  "1e999",
  "NaN",
  "node 0 cpus: 0-",
  "node 63 cpus: 0",
  "node distances:\n",
  "Numa node 0 1\n",
  "Measuring idle latencies",
  "{",
  "}",
  "[",
  '"',
  "null",
  "\u00e9",
  "\uFEFF",
];
interface Edit {
  at: number;
  cut: number;
  put: string;
  line: boolean;
}
const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({ at: fc.nat(2 ** 20), cut: fc.nat(6), put: fc.constantFrom(...pieces), line: fc.boolean() }),
  { minLength: 1, maxLength: 4, size: "max" },
);

/** Cuts letters or lines and puts something in their place. */
function edited(text: string, steps: readonly Edit[]): string {
  for (const { at, cut, put, line } of steps) {
    if (line) {
      const lines = text.split("\n");
      lines.splice(at % (lines.length + 1), Math.min(cut, 2), ...(put === "" ? [] : [put]));
      text = lines.join("\n");
    } else {
      const place = at % (text.length + 1);
      text = text.slice(0, place) + put + text.slice(place + cut);
    }
  }
  return text;
}

/** @returns how it ended, for counting */
function reads(read: () => unknown): "read" | "refused" {
  try {
    expect(checkMachine(read() as ReturnType<typeof loadMachine>)).toEqual([]);
    return "read";
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.message).toContain(error.reason);
    expect(error.remedy).not.toBe("");
    if (error.line !== undefined) expect(error.line).toBeGreaterThan(0);
    return "refused";
  }
}

/** Both ends must happen, or the mutations are too tame or too wild to show anything. */
function both(seen: Map<string, number>): void {
  for (const end of ["read", "refused"]) expect(seen.get(end) ?? 0, end).toBeGreaterThan(20);
}

test("text and JSON, as files", () => {
  const seen = new Map<string, number>();
  const file = join(root, "machine.txt");
  fc.assert(
    fc.property(
      fc.constantFrom(...texts, ...documents),
      edits,
      fc.constantFrom(undefined, ...presets.map((each) => each.name)),
      (text, steps, base) => {
        writeFileSync(file, edited(text, steps));
        const end = reads(() => loadMachine(file, base !== undefined && text.startsWith("{") ? undefined : base));
        seen.set(end, (seen.get(end) ?? 0) + 1);
      },
    ),
    { numRuns: 1500, seed: 1 },
  );
  both(seen);
});

test("JSON with values replaced anywhere", () => {
  const seen = new Map<string, number>();
  const tiny = machineDocument(preset("tiny-2-node")!);
  const paths: (string | number)[][] = [];
  const collect = (value: unknown, path: (string | number)[]): void => {
    if (path.length > 0) paths.push(path);
    if (typeof value === "object" && value !== null)
      for (const [key, member] of Object.entries(value))
        collect(member, [...path, Array.isArray(value) ? Number(key) : key]);
  };
  collect(tiny, []);
  const value = fc.oneof(
    fc.constantFrom(0, 1, -1, 64, 10, 255, 4096, 2 ** 21, 2 ** 53, 0.5, null, true, "", "x", "kreplica.machine/1"),
    fc.constant([]),
    fc.constant({}),
    fc.jsonValue({ maxDepth: 1 }),
  );
  fc.assert(
    fc.property(fc.constantFrom(...paths), value, fc.boolean(), (path, replacement, remove) => {
      const copy = structuredClone(tiny) as unknown as Record<string | number, never>;
      let at: Record<string | number, unknown> = copy;
      for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
      if (remove) delete at[path.at(-1)!];
      else at[path.at(-1)!] = replacement;
      const end = reads(() => machineFromText(JSON.stringify(copy), "m.json", preset("tiny-2-node")!));
      seen.set(end, (seen.get(end) ?? 0) + 1);
    }),
    { numRuns: 1000, seed: 2 },
  );
  both(seen);
});

test("directories", () => {
  const seen = new Map<string, number>();
  const files: Record<string, string> = {
    "node0/cpulist": "0-3\n",
    "node0/cpumap": "0000000f\n",
    "node0/distance": "10 21 40\n",
    "node0/meminfo": "Node 0 MemTotal: 4194304 kB\n",
    "node0/access0/initiators/read_latency": "90\n",
    "node2/cpulist": "4-7\n",
    "node2/distance": "21 10 40\n",
    "node2/meminfo": "Node 2 MemTotal: 4194304 kB\n",
    "node5/cpumap": "0\n",
    "node5/distance": "40 40 10\n",
    "node5/meminfo": "Node 5 MemTotal: 8388608 kB\n",
    "node5/access0/initiators/read_latency": "300\n",
    "node5/access0/initiators/read_bandwidth": "9000\n",
    "node5/access1/initiators/read_latency": "310\n",
    ...Object.fromEntries(
      [0, 1, 2, 3, 4, 5, 6, 7].flatMap((cpu) => {
        const topology = `node${cpu < 4 ? 0 : 2}/cpu${cpu}/topology`;
        return [
          [`${topology}/physical_package_id`, `${cpu >> 2}\n`],
          cpu % 4 < 2 ? [`${topology}/core_cpus_list`, `${cpu}\n`] : [`${topology}/core_id`, `${cpu}\n`],
        ];
      }),
    ),
  };
  let next = 0;
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(files)), edits, fc.boolean(), (name, steps, remove) => {
      const directory = join(root, `d${next++}`);
      for (const [path, text] of Object.entries(files)) {
        if (path === name && remove) continue;
        mkdirSync(join(directory, path, ".."), { recursive: true });
        writeFileSync(join(directory, path), path === name ? edited(text, steps) : text);
      }
      const end = reads(() => loadMachine(directory));
      seen.set(end, (seen.get(end) ?? 0) + 1);
    }),
    { numRuns: 500, seed: 3 },
  );
  both(seen);
});

test("any bytes at all", () => {
  const file = join(root, "bytes");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300, size: "max" }), (bytes) => {
      writeFileSync(file, bytes);
      reads(() => loadMachine(file));
    }),
    { numRuns: 300, seed: 4 },
  );
});

test("large files are refused or read at once: no input makes the readers quadratic", () => {
  const file = join(root, "large");
  for (const text of [
    "node 0 cpus: ".repeat(150_000),
    "available: 1 nodes\n".repeat(100_000),
    "Measuring idle latencies\n".repeat(80_000),
    `{"a": "${"x".repeat(2_000_000)}`,
    `[${"0,".repeat(1_000_000)}`,
    ` ${"\n".repeat(2_000_000)}`,
    `node 0 cpus:${" 1".repeat(1_000_000)}`,
    `available: 1 nodes${" ".repeat(2_000_000)}x`,
    " ".repeat(2_000_000),
    `Numa node${" 1".repeat(1_000_000)}\n`,
    "y".repeat(3_000_000),
  ]) {
    writeFileSync(file, text);
    expect(
      reads(() => loadMachine(file)),
      text.slice(0, 20),
    ).toBe("refused");
  }
  // What is quadratic in two million letters takes hours, on any host.
});
