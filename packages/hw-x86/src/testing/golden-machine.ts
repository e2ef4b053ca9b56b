/** The machine of the cache and TLB golden, and tables that map what its trace touches. */
import { Cr0, Cr4, Efer } from "../control-bits.js";
import { cr3Value } from "../cr3.js";
import { BATCH_FETCH, BATCH_LOAD, BATCH_STORE, type Cpu, type ReferenceBatch } from "../machine-api.js";
import type { PhysMemory } from "../memory-api.js";
import type { MachineSpec, Sourced } from "../spec.js";
import { tinyMachine } from "./tiny-machine.js";

const cycles = (value: number): Sourced => ({ value, source: "made up for the golden, which counts events only" });

/**
 * L1I and L1D 32 KiB/8, L2 256 KiB/8, L3 32 MiB/16; TLBs 64/4, second level 1024/8; two nodes of 512 MiB.
 * @param inclusion "independent" is what the golden counts: misses go down one level and force nothing above
 */
export function goldenMachine(inclusion: MachineSpec["l3"]["inclusion"] = "independent"): MachineSpec {
  return tinyMachine({
    coresPerNode: 1,
    inclusion,
    with: {
      name: "golden",
      description: "caches and TLBs of the golden",
      l1i: { bytes: 32 << 10, ways: 8, cycles: cycles(4) },
      l1d: { bytes: 32 << 10, ways: 8, cycles: cycles(4) },
      l2: { bytes: 256 << 10, ways: 8, cycles: cycles(12) },
      l3: { bytes: 32 << 20, ways: 16, cycles: cycles(50), inclusion },
      translation: {
        instruction: { small: { entries: 64, ways: 4 }, large: { entries: 8, ways: 8 } },
        data: { small: { entries: 64, ways: 4 }, large: { entries: 32, ways: 4 }, huge: { entries: 4, ways: 4 } },
        second: { entries: 1024, ways: 8, large: true, cycles: cycles(8) },
        pagingStructure: { pde: 32, pdpte: 4, pml4e: 2, source: "made up for the golden" },
        source: "README of the golden",
      },
    },
  });
}

/** First frame of the tables {@link identityMap} writes: above what the trace touches, on the second node. */
const TABLES = 0x3_c000;

/**
 * Maps the first GiB to itself in 4 KiB pages, accessed and dirty already, so that a first store takes no second walk,
 * and switches the CPU to 4-level paging.
 */
export function identityMap(memory: PhysMemory, cpu: Cpu): void {
  const bits = 0x63;
  const set = (table: number, index: number, frame: number): void => {
    memory.write32(table, index * 2, ((frame << 12) | bits) >>> 0);
    memory.write32(table, index * 2 + 1, frame >>> 20);
  };
  set(TABLES, 0, TABLES + 1);
  set(TABLES + 1, 0, TABLES + 2);
  for (let two = 0; two < 512; two++) {
    set(TABLES + 2, two, TABLES + 3 + two);
    for (let page = 0; page < 512; page++) set(TABLES + 3 + two, page, two * 512 + page);
  }
  cpu.cr4 = Cr4.PhysicalAddressExtension;
  cpu.writeCr3(cr3Value(TABLES));
  cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
  cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
}

/** Runs records of a golden trace on one CPU. @returns how many references faulted */
export function runGolden(cpu: Cpu, records: Uint32Array): number {
  let faults = 0;
  for (let at = 0; at < records.length; at++) {
    const record = records[at]!;
    const address = record >>> 2;
    const kind = record & 3;
    const result = kind === 2 ? cpu.fetch(address, 0) : kind === 1 ? cpu.store(address, 0) : cpu.load(address, 0);
    if (result !== 0) faults++;
  }
  return faults;
}

/** The same in batches. @returns how many references faulted */
export function runGoldenBatches(batch: ReferenceBatch, records: Uint32Array): number {
  const { input, capacity } = batch;
  // The trace's kinds: load, store, fetch.
  const kinds = [BATCH_LOAD, BATCH_STORE, BATCH_FETCH];
  let faults = 0;
  for (let from = 0; from < records.length; from += capacity) {
    const length = Math.min(capacity, records.length - from);
    for (let at = 0; at < length; at++) {
      const record = records[from + at]!;
      input[2 * at] = ((record >>> 2) & ~63) | kinds[record & 3]!;
      input[2 * at + 1] = 0;
    }
    for (let at = batch.run(0, length); at < length; at = batch.run(at + 1, length)) faults++;
  }
  return faults;
}
