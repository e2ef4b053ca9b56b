/** The assembled machine, end to end. */
import { assemble } from "@kreplica/di";
import { expect, test } from "vitest";
import { Counters, Machine, hwX86, Kind, Source, FAULT } from "../src/index.js";
import { tinyMachine } from "../src/testing.js";
test("smoke", () => {
  const a = assemble([hwX86(tinyMachine())]);
  const m = a.get(Machine);
  const c = m.cpu(2);
  const mem = m.memory;
  // root at frame 16
  mem.write64(16n*4096n + 511n*8n, 17n*4096n | 3n);
  mem.write64(17n*4096n + 510n*8n, 18n*4096n | 3n);
  mem.write64(18n*4096n + 8n*8n, 0x1000000n | 0x1a3n);
  c.cr4 = 0xa0; c.writeCr3(16n*4096n); c.efer = 0x900; c.cr0 = 0x80010000;
  expect(c.fetch(0x81000040|0, -1)).toBe(0);
  expect(c.lastFrame).toBe(0x1000);
  expect(c.load(0x81001040|0, -1)).toBe(0);
  expect(c.store(0x81001040|0, -1)).toBe(0);
  expect(c.store(0x81201040|0, -1)).toBe(FAULT|2);
  expect(mem.read64(18n*4096n+64n).toString(16)).toBe("10001e3");
  const b = a.get(Counters);
  const k = b.snapshot(2);
  expect(k[b.layout.row(0, Kind.Fetch)+Source.Memory]).toBe(1);
});
