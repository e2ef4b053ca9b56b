/**
 * What `kreplica probe` measured on a machine, kreplica.probe/1: its shape, read from JSON with every fault's place.
 */
import { allFaults, fieldName, InputError, type JsonText, parseJsonText } from "@kreplica/inputs";
import { z } from "zod";

/** Value of the field `schema`. */
export const MEASUREMENT_SCHEMA = "kreplica.probe/1";

const count = z.int().min(0);
const text = z.string().min(1).max(20_000);
const nanoseconds = z.number().positive().max(1e9);
const node = count.max(63);
const bytes = count.min(64).max(2 ** 40);
const runLines = count.min(1).max(64);
const what = z.enum(["load", "fetch"]);
const pages = z.enum(["small", "huge", "mixed"]);

const cellShape = z
  .strictObject({
    what,
    from: node,
    to: node,
    cpu: count.max(4095).nullable(),
    bytes,
    runLines,
    pages,
    cache: z.enum(["hot", "cold"]),
    loaders: count.max(4095),
    loadMBs: z.number().min(0).max(1e9),
    nanoseconds,
    low: nanoseconds.nullable(),
    high: nanoseconds.nullable(),
    repeats: count.min(1).nullable(),
    disturbed: count.nullable(),
    stolenTicks: count.nullable(),
    placed: z.boolean(),
    orderHash: count.max(2 ** 32 - 1).nullable(),
  })
  .refine((cell) => (cell.low ?? 0) <= cell.nanoseconds && cell.nanoseconds <= (cell.high ?? Infinity))
  .refine((cell) => (cell.disturbed ?? 0) <= (cell.repeats ?? Infinity))
  .refine((cell) => cell.bytes % (64 * cell.runLines) === 0 && cell.bytes >= 128 * cell.runLines);

const skipShape = z.strictObject({
  what,
  from: node,
  to: node,
  bytes,
  runLines,
  pages,
  loaders: count.max(4095),
  reason: text,
});

/** What the program says before its cells. */
export const headShape = {
  processor: z.strictObject({
    vendor: z.enum(["intel", "amd", "other"]),
    family: count.max(1000),
    model: count.max(1000),
    name: z.string().max(200),
    underHypervisor: z.boolean(),
    emulated: z.exactOptional(z.literal(true)),
  }),
  tscHertz: z.number().min(1e6).max(1e12),
  tscInvariant: z.boolean().nullable(),
  coreHertz: z.number().min(1e6).max(1e12).nullable(),
  seed: count.max(2 ** 32 - 1).nullable(),
  caches: z.array(
    z.strictObject({ name: z.enum(["l1i", "l1d", "l2", "l3"]), bytes: count.max(2 ** 40), ways: count.max(4096) }),
  ),
  nodes: z
    .array(
      z.strictObject({
        id: node,
        memoryBytes: count.max(2 ** 44).nullable(),
        cpus: z.array(count.max(4095)).max(4096),
      }),
    )
    .min(1)
    .max(64),
};

const measurementShape = z.strictObject({
  schema: z.literal(MEASUREMENT_SCHEMA),
  source: text,
  seconds: z.number().min(0).max(1e6),
  ...headShape,
  translations: z.exactOptional(z.literal("small")),
  cells: z.array(cellShape).max(100_000),
  notMeasured: z.array(skipShape).max(100_000),
});

/**
 * One latency: a chain of loads, or of jumps between lines of text, walked from a CPU of one node in memory of another.
 */
export interface MeasuredCell {
  readonly what: "load" | "fetch";
  /** Node of the CPU. */
  readonly from: number;
  /** Node of the memory. */
  readonly to: number;
  /** The CPU; null: not told. */
  readonly cpu: number | null;
  /** Length of the chain's memory. */
  readonly bytes: number;
  /** Lines of 64 bytes that follow one another before the next jump at random. */
  readonly runLines: number;
  /** 4 KiB, 2 MiB, or some of both. */
  readonly pages: "small" | "huge" | "mixed";
  /** Cold: all lines were flushed before each lap. */
  readonly cache: "hot" | "cold";
  /** Other CPUs of the node that read from the same memory meanwhile. */
  readonly loaders: number;
  /** What they read, MB/s of 1,000,000 bytes. */
  readonly loadMBs: number;
  /** A line; the middle of the repeats. */
  readonly nanoseconds: number;
  /** A quarter of the repeats is below; null: not told. */
  readonly low: number | null;
  /** A quarter of the repeats is above; null: not told. */
  readonly high: number | null;
  readonly repeats: number | null;
  /** Repeats in which others ran on the CPU too; only its own time counts in them. */
  readonly disturbed: number | null;
  /** Hundredths of a second that a hypervisor took from the guest meanwhile; null: not told. */
  readonly stolenTicks: number | null;
  /** A sample of its pages was found on the node. */
  readonly placed: boolean;
  /**
   * Of the chain's order: 31 times the sum so far, plus the next group, modulo 2^32; null: an order of another make.
   */
  readonly orderHash: number | null;
}

/** What was to be measured and was not. */
export interface NotMeasured {
  readonly what: "load" | "fetch";
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly runLines: number;
  readonly pages: "small" | "huge" | "mixed";
  readonly loaders: number;
  readonly reason: string;
}

/** A cache as the measured machine's kernel has it. */
export interface MeasuredCache {
  readonly name: "l1i" | "l1d" | "l2" | "l3";
  readonly bytes: number;
  /** 0: not told. */
  readonly ways: number;
}

/** A node of the measured machine. */
export interface MeasuredNode {
  readonly id: number;
  /** Null: not told. */
  readonly memoryBytes: number | null;
  readonly cpus: readonly number[];
}

/** The measured machine's processor, by CPUID. */
export interface MeasuredProcessor {
  readonly vendor: "intel" | "amd" | "other";
  readonly family: number;
  readonly model: number;
  readonly name: string;
  readonly underHypervisor: boolean;
  /**
   * QEMU without KVM: every time is the emulator's own, none is a processor's. Absent: not so, as far as CPUID tells.
   */
  readonly emulated?: true;
}

/** A measurement: the machine as it was found, and its latencies. */
export interface Measurement {
  readonly schema: "kreplica.probe/1";
  /** Who measured, and how. */
  readonly source: string;
  /** How long it took. */
  readonly seconds: number;
  readonly processor: MeasuredProcessor;
  readonly tscHertz: number;
  /** The time-stamp counter does not change its pace; null: not told. */
  readonly tscInvariant: boolean | null;
  /** The core's clock while it was busy; null: not measured. */
  readonly coreHertz: number | null;
  /** Of the chains' order; null: an order of another make. */
  readonly seed: number | null;
  readonly caches: readonly MeasuredCache[];
  readonly nodes: readonly MeasuredNode[];
  /**
   * Small: no translation covers more than 4 KiB, whatever the guest's pages, since its host maps its memory by 4 KiB.
   * Absent: not known. `kreplica probe` cannot see it.
   */
  readonly translations?: "small";
  readonly cells: readonly MeasuredCell[];
  readonly notMeasured: readonly NotMeasured[];
}

/** Whether a text is a measurement's JSON: by the field it begins with. */
export const isMeasurement = (source: string): boolean =>
  /^\uFEFF?\s*\{\s*"schema"\s*:\s*"kreplica\.probe\/1"/.test(source);

/** @throws InputError naming file, line and field of all that is wrong */
export function measurementFrom(source: string, file: string): { measurement: Measurement; document: JsonText } {
  const document = parseJsonText(source.replace(/^\uFEFF/, ""), file);
  const read = measurementShape.safeParse(document.value);
  if (!read.success)
    throw allFaults(
      read.error.issues.map((issue) => ({
        file,
        ...document.placeOf(issue.path),
        ...(issue.path.length > 0 ? { field: fieldName(issue.path) } : {}),
        reason: reasonOf(issue, document.value),
        remedy: "give what `kreplica probe --json` printed, unchanged",
      })),
    );
  const measurement: Measurement = read.data;
  const known = new Set(measurement.nodes.map(({ id }) => id));
  for (const [index, { from, to }] of measurement.cells.entries())
    for (const each of [from, to])
      if (!known.has(each))
        throw new InputError({
          file,
          ...document.placeOf(["cells", index]),
          field: `cells[${index}]`,
          reason: `node ${each} is not among the nodes`,
          remedy: "give what `kreplica probe --json` printed, unchanged",
        });
  return { measurement, document };
}

/** Cells are told by what does not hold between their fields, the rest by the field itself. */
function reasonOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === "unrecognized_keys") return `no such field: ${issue.keys.join(", ")}`;
  if (issue.code === "custom") return "its figures contradict one another";
  const there = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key],
    value,
  );
  return there === undefined ? "missing" : `${JSON.stringify(there).slice(0, 40)} cannot stand here`;
}

/** Shapes of the lines of the measuring program, program-lines.ts. */
export const lineShapes = { head: z.strictObject(headShape), cell: cellShape, skip: skipShape };
