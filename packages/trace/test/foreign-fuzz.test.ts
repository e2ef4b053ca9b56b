/// <reference types="node" />
/** 300 damaged traces a reader; `foreign-fuzz.proof.test.ts` reads more. */
import { expect, test } from "vitest";
import { readDamaged, traces } from "./foreign-mutations.js";

test.each(Object.entries(traces))(
  "%s",
  (_name, trace) => {
    const { read, refused } = readDamaged(trace, 300, 5);
    expect(refused).toBeGreaterThan(5);
    expect(read).toBeGreaterThan(0);
  },
  300_000,
);
