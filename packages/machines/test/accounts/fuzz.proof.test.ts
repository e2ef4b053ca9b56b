/// <reference types="node" />
/**
 * 50,000 damaged texts of the four readers that most inputs are for, 2,000 of the others; KREPLICA_FUZZ=100000 reads
 * so many of each.
 */
import { expect, test } from "vitest";
import { readDamaged } from "./mutations.js";
import { samples } from "./samples.js";

const MOST_USED = ["lscpu", "numactl", "lstopo", "mlc"];
const countOf = (name: string): number =>
  Number(process.env["KREPLICA_FUZZ"] ?? (MOST_USED.includes(name) ? 50_000 : 2000));

test.each(Object.entries(samples))(
  "%s",
  (name, text) => {
    expect(readDamaged(text, countOf(name), 11).refused).toBeGreaterThan(countOf(name) / 100);
  },
  3_600_000,
);
