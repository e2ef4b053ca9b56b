/// <reference types="node" />
/** 400 damaged texts a reader; `fuzz.proof.test.ts` reads 100,000. */
import { expect, test } from "vitest";
import { readDamaged } from "./mutations.js";
import { samples } from "./samples.js";

test.each(Object.entries(samples))(
  "%s",
  (_name, text) => {
    const { read, refused } = readDamaged(text, 400, 7);
    // Both must happen, or the damage is too tame or too wild to show anything.
    expect(read).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
  },
  300_000,
);
