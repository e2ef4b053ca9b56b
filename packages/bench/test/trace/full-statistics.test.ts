/**
 * The reader's statistics of the full recordings, which do not ship, against an independent decoder's; of the shipped
 * ones: packages/trace/test/statistics.proof.test.ts.
 */
/// <reference types="node" />
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TraceCounter } from "@kreplica/trace";
import { describe, expect, test } from "vitest";
import { readTraceFile } from "../../src/inputs/trace-file.js";

/** Where the workplace keeps the full recordings, beside the checkout; nothing else reads there. */
const FULL = join(import.meta.dirname, "../../../../../shared/data/traces-full");
/** Entries of the recorded statistics' page dictionary. */
const DICTIONARY = 65_536;

describe.skipIf(!existsSync(FULL))(`full recordings (in ${FULL}, not shipped)`, () => {
  const names = existsSync(FULL) ? readdirSync(FULL).filter((each) => each.endsWith(".kt.zst")) : [];
  test.each(names)("%s", (name) => {
    const counter = new TraceCounter(DICTIONARY);
    readTraceFile(join(FULL, name), (batch) => counter.add(batch));
    const counted = counter.result();
    const expected = JSON.parse(readFileSync(join(FULL, name.replace(".kt.zst", ".stat.json")), "utf8")) as Record<
      string,
      unknown
    >;
    expect(counted).toEqual(Object.fromEntries(Object.keys(counted).map((key) => [key, expected[key]])));
  });
});
