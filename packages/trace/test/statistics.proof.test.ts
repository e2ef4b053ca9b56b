/** The reader's statistics against those an independent decoder computed when the recordings were made. */
/// <reference types="node" />
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { describe, expect, test } from "vitest";
import { readTraceBytes } from "../src/read-trace.js";
import { TraceCounter, type TraceStatistics } from "../src/statistics.js";

const SHIPPED = dataFile("traces");

/** Entries of the recorded statistics' page dictionary. */
const DICTIONARY = 65_536;

const count = (file: string, entries = 0): TraceStatistics => {
  const counter = new TraceCounter(entries);
  readTraceBytes(file, readFileSync(file), (batch) => counter.add(batch));
  return counter.result();
};

describe("shipped recordings", () => {
  for (const name of readdirSync(SHIPPED).filter((each) => each.endsWith(".kt.zst"))) {
    const recorded = join(SHIPPED, name.replace(".kt.zst", ".stat.json"));
    test.skipIf(!existsSync(recorded))(name, () => {
      const expected = JSON.parse(readFileSync(recorded, "utf8")) as Record<string, unknown>;
      const counted = count(join(SHIPPED, name), DICTIONARY);
      // Everything we count is compared; what the other decoder counted beyond it is not ours.
      expect(counted).toEqual(Object.fromEntries(Object.keys(counted).map((key) => [key, expected[key]])));
    });
  }
});

test("a dictionary that forgets nothing gives every reference a node", () => {
  const { by_region: region, data_refs_by_node: node, io } = count(join(SHIPPED, "hsw-insmod.kt.zst"));
  const data = Object.entries(region)
    .filter(([name]) => name !== "ktext" && name !== "krodata")
    .reduce((sum, [, { ld, st }]) => sum + ld + st, 0);
  expect(Object.values(node).reduce((sum, { ld, st }) => sum + ld + st, 0)).toBe(data - io);
});
