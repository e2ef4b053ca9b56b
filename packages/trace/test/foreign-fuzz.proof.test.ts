/// <reference types="node" />
/** 1,000 damaged traces a reader; KREPLICA_FUZZ=100000 reads so many. */
import { expect, test } from "vitest";
import { readDamaged, traces } from "./foreign-mutations.js";

const COUNT = Number(process.env["KREPLICA_FUZZ"] ?? 1000);

test.each(Object.entries(traces))(
  "%s",
  (_name, trace) => {
    expect(readDamaged(trace, COUNT, 13).refused).toBeGreaterThan(COUNT / 100);
  },
  3_600_000,
);
