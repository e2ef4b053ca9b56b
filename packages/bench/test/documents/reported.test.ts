/// <reference types="node" />
/** Reported figures: what `compare --reported` reads is what the published schema takes, and nothing else. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readReportedFile } from "../../src/inputs/reported-file.js";
import { faultsOf } from "./validator.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-reported-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const REPORTED = { source: "somebody", machine: "tiny-2-node", figures: [{ test: "kill", hot: 1 }] };

describe("reported figures are read exactly where the schema takes them", () => {
  const [figure] = REPORTED.figures;
  const BAD: Readonly<Record<string, unknown>> = {
    "no object": [],
    "a field more": { ...REPORTED, oneMore: 1 },
    "no source": { ...REPORTED, source: undefined },
    "source is blank": { ...REPORTED, source: " " },
    "machine is a number": { ...REPORTED, machine: 1 },
    "figures are no list": { ...REPORTED, figures: {} },
    "no figures": { ...REPORTED, figures: [] },
    "a figure's field more": { ...REPORTED, figures: [{ ...figure, oneMore: 1 }] },
    "neither hot nor cold": { ...REPORTED, figures: [{ test: "kill" }] },
    "no test": { ...REPORTED, figures: [{ hot: 1 }] },
    "a test without a name": { ...REPORTED, figures: [{ test: "", hot: 1 }] },
    "more than all": { ...REPORTED, figures: [{ test: "kill", hot: 101 }] },
    "less than any": { ...REPORTED, figures: [{ test: "kill", cold: -100_001 }] },
    "hot is a word": { ...REPORTED, figures: [{ test: "kill", hot: "1" }] },
  };
  const GOOD: Readonly<Record<string, unknown>> = {
    hot: REPORTED,
    cold: { ...REPORTED, figures: [{ test: "kill", cold: -100_000 }] },
    both: {
      ...REPORTED,
      figures: [
        { test: "kill", cold: 100, hot: 0 },
        { test: "mount", hot: 1.5 },
      ],
    },
  };
  const isRead = (value: unknown): boolean => {
    const file = join(folder, "figures.json");
    writeFileSync(file, JSON.stringify(value));
    try {
      readReportedFile(file);
      return true;
    } catch {
      return false;
    }
  };
  test.each(Object.entries(GOOD))("read: %s", (_name, value) => {
    expect([isRead(value), faultsOf(value, "kreplica.reported/1")]).toEqual([true, []]);
  });
  test.each(Object.entries(BAD))("refused: %s", (_name, value) => {
    const plain: unknown = JSON.parse(JSON.stringify(value));
    expect([isRead(plain), faultsOf(plain, "kreplica.reported/1").length > 0]).toEqual([false, true]);
  });
});
