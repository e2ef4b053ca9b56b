/**
 * The shape of a machine file, as zod sees it and as the published JSON Schema says it; what fields mean is said here,
 * once.
 */
import { MEMORY_PLACES, type MachineSpec, PAGE_BYTES, REPLACEMENTS } from "@kreplica/hw-x86/api";
import { z } from "zod";

/** Value of the field `schema` in a machine file. */
export const MACHINE_SCHEMA = "kreplica.machine/1";

const count = z.int().min(0);
const positive = z.number().positive().max(1e15);
const text = z.string().min(1).max(20_000);

/** Above every clock in hertz and every cost in cycles, and far below where products of two overflow. */
const LARGEST_FIGURE = 1e12;
const figure = z.number().min(-LARGEST_FIGURE).max(LARGEST_FIGURE);
const sourced = z
  .strictObject({
    value: figure,
    low: z.exactOptional(figure).describe("at most `value`; absent: as certain as the value"),
    high: z.exactOptional(figure).describe("at least `value`"),
    source: text.describe("document and table, or how it was measured"),
    provisional: z.exactOptional(z.boolean()).describe("recalled or assumed, not read or measured"),
  })
  .describe("a number with its range and its source");

const replacement = z
  .exactOptional(
    z.strictObject({
      policy: z
        .enum(REPLACEMENTS)
        .describe(
          "lru: the one unused longest; tree-plru: a tree of bits, ways a power of two; fifo: the first that came; random; nru: one bit a way; srrip: two bits a way",
        ),
      seed: z.exactOptional(count.max(0xffff_ffff)).describe("random only; absent: 0"),
    }),
  )
  .describe("which way of a full set goes; absent: true LRU");

const cache = z.strictObject({
  bytes: count
    .min(64)
    .max(2 ** 40)
    .describe(`a multiple of ways * ${PAGE_BYTES}: the sets are a multiple of 64`),
  ways: count.min(1).max(32),
  cycles: sourced.describe("core cycles from access to use on a hit"),
  replacement,
});

const tlb = z.strictObject({
  entries: count.min(1).max(65_536).describe("`ways` times a power of two"),
  ways: count.min(1).max(256).describe("equal to `entries`: fully associative"),
  replacement,
});

const matrix = (of: z.ZodType<number>) =>
  z.array(z.array(of)).describe("row: node of the CPU, column: node of the memory, in the order of `nodes`");

/** All fields of a machine. Limits that need two fields are in check.ts. */
export const machineShape = {
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/)
    .max(80)
    .describe("letters, digits, dots, dashes and underscores, first a letter or digit"),
  description: text.describe("one line"),
  nodes: z
    .array(
      z.strictObject({
        id: count.max(63).describe("0 to 63; ids may have gaps"),
        memoryBytes: count.max(2 ** 44).describe("a multiple of 2 MiB; 0 for a memoryless node"),
        startAddress: z
          .exactOptional(count.max(2 ** 52))
          .describe(
            `first physical address, a multiple of 2 MiB; absent: after the node before, on 1 GiB. Memory lies ${MEMORY_PLACES}`,
          ),
      }),
    )
    .min(1)
    .max(64),
  cpus: z
    .array(
      z.strictObject({
        id: count.max(4095),
        node: count.max(63),
        core: count.max(4095).describe("threads of one core share L1, L2 and TLBs; numbered over the whole machine"),
        l3: count.max(4095).describe("cores of one domain share an L3; numbered over the whole machine"),
        socket: count.max(63),
      }),
    )
    .min(1)
    .max(4096)
    .describe("hardware threads"),
  assumedTopology: z
    .exactOptional(text)
    .describe("what of sockets, cores and L3s was assumed, and by which rule; absent: nothing"),
  hertz: sourced.describe("core clock the cycle figures are in; its range: what the clock may be while a test runs"),
  l1i: cache,
  l1d: cache,
  l2: cache,
  l3: cache.extend({
    inclusion: z
      .enum(["inclusive", "victim", "independent"])
      .describe(
        "inclusive: a line in L1 or L2 is in L3; victim: L3 is filled by what L2 evicts; independent: filled on the way, forces nothing above",
      ),
  }),
  translation: z.strictObject({
    instruction: z
      .strictObject({ small: tlb, large: z.exactOptional(tlb) })
      .describe("L1 TLB for code; small 4 KiB, large 2 MiB"),
    data: z
      .strictObject({ small: tlb, large: z.exactOptional(tlb), huge: z.exactOptional(tlb) })
      .describe("L1 TLB for data; huge 1 GiB"),
    second: tlb
      .extend({ large: z.boolean().describe("2 MiB pages share it"), cycles: sourced, huge: z.exactOptional(tlb) })
      .describe("second level, code and data"),
    pagingStructure: z
      .strictObject({
        pde: count.max(4096),
        pdpte: count.max(4096),
        pml4e: count.max(4096),
        source: text,
        provisional: z.exactOptional(z.boolean()),
      })
      .describe("paging-structure caches, entries by level; 0: none"),
    mixedSizes: z
      .exactOptional(z.literal("machine-check"))
      .describe("what a fetch comes to that meets translations of two sizes for its address; absent: it takes either"),
    source: text,
  }),
  latencyNs: matrix(positive.max(1e6)).describe(
    "idle load latency, nanoseconds; row: node of the CPU, column: node of the memory",
  ),
  latencySpread: z.number().min(0).max(0.99).describe("half-width of every latency's range, relative: 0.1 is +-10 %"),
  bandwidthMBs: matrix(positive.max(1e9)).describe(
    "read bandwidth, MB/s (1 MB = 1,000,000 bytes); row: node of the CPU, column: node of the memory",
  ),
  loadedLatency: z
    .exactOptional(
      z.strictObject({
        points: z
          .array(
            z.strictObject({
              utilisation: z.number().min(0).max(1).describe("share of the peak read bandwidth"),
              timesIdle: z.number().min(1).max(1000).describe("latency there over the idle latency"),
            }),
          )
          .min(1)
          .max(1000)
          .describe("ascending by utilisation, latencies never falling"),
        source: text,
        provisional: z.exactOptional(z.boolean()),
      }),
    )
    .describe(
      "how latency grows with use, of memory controllers and links alike; absent: the shape that four published curves share",
    ),
  distance: matrix(count.min(10).max(255)).describe("SLIT; 10 is local, 255 unreachable"),
  cacheToCacheNs: z
    .strictObject({
      sameL3: z.exactOptional(sourced).describe("a core behind the same L3 has it; absent: as sameSocket"),
      sameSocket: sourced.describe("another L3 of the socket has it"),
      otherSocket: sourced.describe("an L3 of another socket has it"),
    })
    .describe("nanoseconds to fetch a line that another core or another L3 has"),
  interconnectSource: text,
  provisional: z.boolean().describe("latency, bandwidth or topology is recalled or scaled from distances"),
  costs: z.strictObject({
    cyclesPerInstruction: sourced.describe("cycles an instruction takes when nothing misses"),
    fetchExposure: sourced.describe("share of an instruction-fetch miss that is not hidden, 0 to 1"),
    loadExposure: sourced.describe("share of a load miss that is not hidden, 0 to 1"),
    storeExposure: sourced.describe("share of a store miss that is not hidden, 0 to 1"),
    walkExposure: sourced.describe("share of a page walk that is not hidden, 0 to 1"),
    prefetchHiddenCycles: z
      .exactOptional(sourced)
      .describe(
        "cycles of a prefetched line's latency that are over when it is first fetched; absent: 16 instructions' base cycles, 0 to four times that",
      ),
    prefetchLines: count.max(63).describe("lines fetched ahead on an L1I miss; 0 is off"),
    frontEnd: z
      .exactOptional(
        z.strictObject({
          targets: sourced.describe("lines whose successor the branch predictor remembers, 1 to 16384"),
          lines: sourced.describe("lines under way at once, 1 to 64"),
          straightLines: z
            .exactOptional(sourced)
            .describe("lines ahead at once that nothing is remembered of, 0 to 63; absent: as lines"),
          restartCycles: z
            .exactOptional(sourced)
            .describe("cycles to start anew behind a jump that was not foreseen; absent: 0"),
          missCycles: z
            .exactOptional(sourced)
            .describe("cycles that a fetch missing L1I takes beyond a load from the same place; absent: 0"),
          plainText: z
            .exactOptional(
              z.strictObject({
                instructionsPerCycle: sourced.describe("instructions a cycle at most"),
                jumpCycles: sourced.describe("cycles more for each jump taken"),
              }),
            )
            .describe("how fast text of no-ops and jumps runs; absent: as other text"),
        }),
      )
      .describe(
        "a front end that runs ahead of its instructions, in place of the next-line prefetcher; absent: it waits for each line",
      ),
    ipiCycles: sourced.describe("cycles to send an inter-processor interrupt and take it"),
  }),
  physicalBits: count.min(36).max(52),
  virtualBits: z.literal([48, 57]),
  encryptionBit: z
    .exactOptional(z.literal([47, 51]))
    .describe(
      "place of the bit that says memory is encrypted (SME, or a guest's under SEV), where it is; needs vendor amd; absent: entries have none",
    ),
  vendor: z
    .exactOptional(z.enum(["intel", "amd"]))
    .describe("who made the CPUs: CPUID and what executed code does where the vendors differ; absent: intel"),
  sources: z.array(text).min(1),
};

const head = {
  $schema: z.exactOptional(z.string()),
  schema: z.exactOptional(z.literal(MACHINE_SCHEMA)).describe("version of this format"),
};

/** A file that says everything. */
export const wholeMachine = z.strictObject({ ...head, ...machineShape });

/** A file that names a preset and says only what differs. */
export const machineOnBase = z.strictObject({
  ...head,
  base: z.string().describe("preset from which every absent field is taken"),
  ...Object.fromEntries(
    Object.entries(machineShape).map(([name, field]) => [name, z.exactOptional(field as z.ZodType)]),
  ),
}) as z.ZodType<{ base: string } & Partial<MachineSpec>>;

/** The published JSON Schema; `schemas/kreplica.machine-1.json` of bench is this, and a test holds them together. */
export const machineJsonSchema = (): unknown => ({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "https://github.com/kreplica/kreplica/packages/bench/schemas/kreplica.machine-1.json",
  title: "kreplica machine",
  description:
    "A NUMA machine for `kreplica --machine FILE`: all of it, or a base preset and what differs. Every number names its source.",
  anyOf: [wholeMachine, machineOnBase].map((shape) => {
    const { $schema: _, ...rest } = z.toJSONSchema(shape) as Record<string, unknown>;
    return rest;
  }),
});
