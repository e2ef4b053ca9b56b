/// <reference types="node" />
/** 100,000 damaged texts a reader. */
import { expect, test } from "vitest";
import { readDamaged } from "./mutations.js";
import { samples } from "./samples.js";

test.each(Object.entries(samples))(
  "%s",
  (_name, text) => {
    expect(readDamaged(text, 100_000, 11).refused).toBeGreaterThan(1000);
  },
  3_600_000,
);
