/** What a step costs, counted and not timed: how loaded a machine is decides too much of a time. */
import { SparseMemory } from "@kreplica/hw-x86";
import { expect, test } from "vitest";
import { BOOTED, Session } from "../src/model/session.js";
import { FIRST_STORY } from "../src/model/setup.js";

test("a step of the two-node kernel reads under 300,000 words of memory and is told in under 100 KB", () => {
  const operations = [
    { op: "spawn", cpu: 0 },
    { op: "fork", p: 0, cpu: 2 },
    { op: "exec", p: 0, cpu: 0 },
  ] as never[];
  const session = new Session({ ...FIRST_STORY, operations });
  session.look({ step: BOOTED, store: 0 });
  const { read32 } = SparseMemory.prototype;
  let reads = 0;
  SparseMemory.prototype.read32 = function (...of) {
    reads++;
    return read32.apply(this, of);
  };
  operations.forEach((_, at) => {
    reads = 0;
    const view = session.look({ step: BOOTED + at + 1, store: 0 });
    // 218,000 for 101 tables, which the picture and the rules read alike; 65 KB.
    expect(reads).toBeGreaterThan(512 * view.tables.length);
    expect(reads).toBeLessThan(300_000);
    expect(JSON.stringify(view).length).toBeLessThan(100_000);
  });
  SparseMemory.prototype.read32 = read32;
});
