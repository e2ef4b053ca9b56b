/** Page tables recorded from a running guest, its table pages and its CPUs' control registers, as modelled memory. */
import {
  frameOfAddress,
  MEMORY_PLACES,
  NO_FRAME,
  ALL_PAGES,
  SparseMemory,
  cr3Frame,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  PAGE,
  walkTables,
} from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import { unzstd, ZstdError } from "@kreplica/inputs/zstd";

/** One record of the page file: u64 physical address, then the page. */
const RECORD_BYTES = 8 + 4096;
/** CR4.LA57. */
const FIVE_LEVELS = 0x1000n;

/** Where one recorded CPU's tables begin. */
export interface RecordedRoot {
  readonly cpu: number;
  readonly root: Frame;
  readonly levels: 4 | 5;
}

/** What a recording holds. */
export interface RecordedTables {
  /** Table pages at their recorded addresses; every other byte is zero. */
  readonly memory: SparseMemory;
  /** Frames of the pages that were recorded. */
  readonly recorded: ReadonlySet<Frame>;
  readonly pages: number;
  /** In the order of the registers file. */
  readonly roots: readonly RecordedRoot[];
}

/** Table pages packed with zstd. @throws InputError naming the byte */
export function readPackedPages(
  file: string,
  packed: Uint8Array,
): Pick<RecordedTables, "memory" | "recorded" | "pages"> {
  let bytes: Uint8Array;
  try {
    bytes = unzstd(packed);
  } catch (error) {
    throw new InputError({
      file,
      ...(error instanceof ZstdError ? { offset: error.offset } : {}),
      reason: `is no whole zstd file (${(error as Error).message})`,
      remedy: "record it again, or copy it again in binary mode",
    });
  }
  return readPages(file, bytes);
}

/** Table pages. @param bytes records of a physical address and its page @throws InputError naming the byte */
export function readPages(file: string, bytes: Uint8Array): Pick<RecordedTables, "memory" | "recorded" | "pages"> {
  const memory = new SparseMemory([]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seen = new Set<bigint>();
  for (let offset = 0; offset < bytes.length; offset += RECORD_BYTES) {
    if (offset + RECORD_BYTES > bytes.length) {
      throw new InputError({
        file,
        offset,
        reason: `the last record has ${bytes.length - offset} of ${RECORD_BYTES} bytes`,
        remedy: "record it again: a record is a u64 physical address and 4096 bytes",
      });
    }
    const physical = view.getBigUint64(offset, true);
    if ((physical & (PAGE - 1n)) !== 0n || frameOfAddress(physical) === NO_FRAME) {
      throw new InputError({
        file,
        offset,
        field: "physical address",
        reason: `0x${physical.toString(16)} is not that of a page ${MEMORY_PLACES}`,
        remedy: "check that records are a u64 physical address and 4096 bytes",
      });
    }
    if (seen.has(physical)) {
      throw new InputError({
        file,
        offset,
        field: "physical address",
        reason: `page 0x${physical.toString(16)} is recorded twice`,
        remedy: "keep one record of each page",
      });
    }
    seen.add(physical);
    memory.writeBytes(physical, bytes.subarray(offset + 8, offset + RECORD_BYTES));
  }
  return { memory, recorded: new Set([...seen].map(frameOfAddress)), pages: seen.size };
}

/** A page that the tables lead to and that was not recorded. */
export interface MissingTable {
  readonly frame: Frame;
  /** Level of the entry that leads there, from 5 or 4 to 2; one more for the page that CR3 names. */ readonly level: number;
}

/** Table pages below a root that were not recorded, each once: what they map cannot be told. */
export function missingTables(
  { memory, recorded }: Pick<RecordedTables, "memory" | "recorded">,
  { root, levels }: RecordedRoot,
): MissingTable[] {
  const seen = new Set<Frame>();
  const missing: MissingTable[] = [];
  /** Whether a table was not met before, and is there. */
  const isRecorded = (table: Frame, level: number): boolean => {
    if (seen.has(table)) return false;
    seen.add(table);
    if (!recorded.has(table)) missing.push({ frame: table, level: level + 1 });
    return recorded.has(table);
  };
  if (!isRecorded(root, levels)) return missing;
  walkTables<Frame>(levels, ALL_PAGES, root, (table, level, index) => {
    const lo = memory.read32(table, index * 2);
    if (!isPresent(lo) || isLeaf(lo, level)) return undefined;
    const lower = frameOf(lo, memory.read32(table, index * 2 + 1));
    return isRecorded(lower, level - 1) && level > 2 ? lower : undefined;
  });
  return missing;
}

/** Where each CPU's tables begin. @param text QEMU's `info registers -a` @throws InputError naming the line */
export function readRoots(file: string, text: string): RecordedRoot[] {
  const roots: RecordedRoot[] = [];
  let cpu: number | undefined;
  text.split(/\r?\n/).forEach((line, index) => {
    const heading = /^CPU#(\d+)/.exec(line);
    if (heading) cpu = Number(heading[1]);
    if (!/^CR0=/.test(line)) return;
    const fields = /^CR0=([0-9a-f]{8,16}) CR2=[0-9a-f]{16} CR3=([0-9a-f]{16}) CR4=([0-9a-f]{8,16})\s*$/.exec(line);
    if (!fields || cpu === undefined) {
      throw new InputError({
        file,
        line: index + 1,
        field: "CR0..CR4",
        reason: cpu === undefined ? "no CPU#N heading before it" : "is not a line of control registers",
        remedy: "give the output of QEMU's `info registers -a`",
      });
    }
    const [cr0, cr3, cr4] = fields.slice(1).map((digits) => BigInt(`0x${digits}`)) as [bigint, bigint, bigint];
    if ((cr0 & 0x8000_0000n) === 0n)
      throw new InputError({
        file,
        line: index + 1,
        field: "CR0",
        reason: `CPU ${cpu} has paging off`,
        remedy: "record while the kernel runs",
      });
    roots.push({ cpu, root: cr3Frame(cr3), levels: (cr4 & FIVE_LEVELS) === 0n ? 4 : 5 });
  });
  if (roots.length === 0)
    throw new InputError({ file, reason: "no CR0=... line", remedy: "give the output of QEMU's `info registers -a`" });
  return roots;
}
