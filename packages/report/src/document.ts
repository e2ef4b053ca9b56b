/**
 * What a page is made of: the documents that `kreplica compare`, `machine`, `boot` and `policies` print with `--json`,
 * as far as the page shows them, page tables as trees, and what is summed up of them. Plain values, ready for JSON.
 */

/** Where the cycles of one kind of access beyond L1 went, by where the line came from. Cycles. */
export interface Sources {
  readonly l2: number;
  readonly ownL3: number;
  readonly otherL3: number;
  readonly local: number;
  readonly remote: number;
}

/** Cycles of one test on one kernel, by what they were spent on; the parts' sum is the whole. */
export interface Account {
  readonly instructions: number;
  readonly text: Sources;
  readonly rodata: Sources;
  readonly data: Sources;
  /** Page walks; the source `l1` beside the others. */
  readonly walks: Sources & { readonly l1: number };
  readonly modules: number;
  readonly user: number;
  readonly secondTlb: number;
  readonly interrupts: number;
  readonly replication: number;
}

/** One test, caches hot or cold, on both kernels. Percent of the single copy's cycles. */
export interface ComparedTest {
  readonly test: string;
  readonly cache: "cold" | "hot";
  /** Null where they could not be counted: figures are then of the whole run. */
  readonly iterations: number | null;
  readonly singleCopy: { readonly cycles: number; readonly account: Account };
  readonly perNode: { readonly cycles: number; readonly account: Account };
  readonly gainPercent: number;
  readonly gainLow: number;
  readonly gainHigh: number;
  readonly nearPercent?: number;
  readonly boundPercent: number;
  /** Only fetches that miss L2 can gain from a near copy. */
  readonly boundBeyondL2Percent?: number;
  /** Spread by where functions lie; null where no layouts were run. */
  readonly layoutLow?: number | null;
  readonly layoutHigh?: number | null;
  /** By the series' authors, or whom the user names; null where nobody reported any. */
  readonly reportedPercent?: number | null;
}

/** Cycles of fetches of text beyond L1, by where the line came from. */
export interface PlaceCycles {
  /** With one copy. */
  readonly before: Sources;
  /** With copies. */
  readonly after: Sources;
}

/** Functions of one test in one state of the caches: all of them together are the test's text. */
export interface TestFunctions {
  readonly test: string;
  readonly cache: "cold" | "hot";
  /** Most far cycles with one copy first. */
  readonly listed: readonly (PlaceCycles & { readonly function: string })[];
  /** All beyond the listed. */
  readonly others: PlaceCycles;
  readonly withoutSymbol: PlaceCycles;
}

/** Bytes of the kernel on one node. */
export interface NodeMemory {
  readonly node: number;
  readonly textBytes: number;
  readonly rodataBytes: number;
  readonly tableBytes: number;
}

/** What `kreplica compare --json` prints, as far as the page shows it. */
export interface Comparison {
  readonly machine: string;
  readonly kernel: string;
  readonly recordedOn: string;
  readonly policy: string;
  readonly cpu: number;
  readonly masterNode: number;
  readonly dataNode: number;
  readonly levels: number;
  readonly pti: boolean;
  readonly reported: { readonly source: string } | null;
  readonly tests: readonly ComparedTest[];
  /** None where they were not counted. */
  readonly functions?: readonly TestFunctions[];
  readonly memory: {
    readonly perNode: readonly NodeMemory[];
    readonly extraBytes: number;
    readonly closedForm: number;
  };
  readonly invariants: {
    readonly checked: number;
    readonly violated: readonly { readonly id: string; readonly sentence: string; readonly detail: string }[];
    readonly notReached: number;
  };
  /** What it comes to, in sentences; null where one CPU alone was measured. */
  readonly verdict?: { readonly sentences: readonly string[] } | null;
  /** Every node with CPUs; none where one CPU alone was measured. */
  readonly nodes?: readonly NodeGains[];
  /** Traffic, of which the page shows gains over how many CPUs are busy; null on an idle machine. */
  readonly load?: { readonly atOnce?: readonly BusyPoint[] } | null;
  /** What a mix of system calls gains; null where none was given. */
  readonly mix?: MixGain | null;
  /** What so many processes, forks and migrations cost; null where nobody asked. */
  readonly rates?: RateCosts | null;
}

/** One test on so many CPUs of every node at once. */
export interface BusyPoint {
  readonly test: string;
  readonly cache: "cold" | "hot";
  readonly recording: string;
  readonly cpusPerNode: number;
  readonly gainPercent: number;
  readonly gainLow: number;
  readonly gainHigh: number;
  readonly singleCopy: BusyCounts;
  readonly perNode: BusyCounts;
  /** What the other thread of each core did. */
  readonly otherThreads?: "idle" | "test" | "neighbour";
  /** The recording that other CPUs ran at the same time; null where there was none. */
  readonly neighbour?: { readonly test: string; readonly cpus: number } | null;
}

/** Lines a CPU had from where, the mean of all. */
interface BusyCounts {
  readonly textFromOwnL3: number;
  readonly textFromOtherL3: number;
  readonly textFromNearMemory: number;
  readonly textFromFarMemory: number;
  readonly contendedData: number;
}

/** Recordings weighted by a program's system calls. */
export interface MixGain {
  readonly file: string;
  /** Percent of its calls that find the caches cold. */
  readonly coldPercent: number;
  readonly calls: number;
  readonly coveredCalls: number;
  /** Null where the file has no times. */
  readonly coveredTimePercent: number | null;
  /** Null where nothing is covered. */
  readonly gainPercent: number | null;
  readonly gainLow: number | null;
  readonly gainHigh: number | null;
  readonly nodes: readonly { readonly node: number; readonly cpus: number; readonly gainPercent: number }[];
  readonly tests: readonly {
    readonly test: string;
    readonly calls: number;
    readonly weightPercent: number;
    readonly gainPercent: number;
  }[];
  readonly uncovered: readonly { readonly name: string; readonly calls: number }[];
}

/** Percent of the CPUs' time, caches cold and hot. */
interface Time {
  readonly machinePercent: { readonly cold: number; readonly hot: number };
}

/** Beyond the same with one copy; null each where nobody asked. */
export interface RateCosts {
  readonly processes: { readonly count: number; readonly bytes: number; readonly everywhereBytes: number } | null;
  readonly forks: { readonly perSecond: number; readonly time: Time | null } | null;
  readonly migrations: { readonly perSecond: number; readonly stores: number; readonly time: Time | null } | null;
}

/** A cause, and what it would have to be. */
export interface ExplainedCause {
  readonly cause: string;
  /** Null where no value does it. */
  readonly value: number | string | null;
  readonly nearest: { readonly percent: number } | null;
  readonly plausible: boolean | null;
}

/** What `kreplica explain --json` prints, as far as the page shows it. */
export interface Explanation {
  /** Null where nobody's figures are looked at. */
  readonly source: string | null;
  readonly figures: readonly {
    readonly test: string;
    readonly cache: "cold" | "hot";
    readonly reportedPercent: number;
    readonly modelledPercent: number;
    readonly within: boolean;
    readonly outOfReach: boolean;
    readonly causes: readonly ExplainedCause[];
    readonly smallest: string | null;
  }[];
  readonly sensitivity: readonly {
    readonly parameter: string;
    readonly range: string;
    readonly cold: { readonly low: number; readonly high: number };
    readonly hot: { readonly low: number; readonly high: number };
  }[];
  readonly sentences: readonly string[];
}

/** A place on a map. */
interface MapPlace {
  readonly l2Bytes: number;
  readonly farOverNear: number;
  readonly inclusion: string;
}

/** What `kreplica map --json` prints, as far as it is drawn. */
export interface DrawnMap {
  readonly policy: string;
  readonly test: string;
  /** By state, kind of cache, distance and size, each ascending. */
  readonly cells: readonly (MapPlace & { readonly cache: "cold" | "hot"; readonly gainPercent: number })[];
  readonly processors: readonly (MapPlace & { readonly name: string })[];
  readonly sentences: readonly string[];
}

/** Gains of the CPUs of one node, percent. */
export interface NodeGains {
  readonly node: number;
  /** How many CPUs it has. */
  readonly cpus: number;
  /** From them to the image's memory, idle, ns. */
  readonly imageNs: number;
  /** The node whose run was counted: itself, or one that is alike. */
  readonly measuredOn: number;
  /** Mean over the tests. */
  readonly coldPercent: number;
  readonly hotPercent: number;
  readonly tests: readonly {
    readonly test: string;
    readonly cache: "cold" | "hot";
    readonly gainPercent: number;
  }[];
}

/** A number with its range and source. */
export interface Sourced {
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
  readonly source: string;
  /** Assumed, not read or measured. */
  readonly provisional?: boolean;
}

/** What `kreplica machine NAME --json` prints, as far as the page shows it. */
export interface DrawnMachine {
  readonly name: string;
  readonly description: string;
  readonly nodes: readonly { readonly id: number; readonly memoryBytes: number }[];
  readonly cpus: readonly {
    readonly id: number;
    readonly node: number;
    readonly core: number;
    readonly l3: number;
    readonly socket: number;
  }[];
  readonly l2: { readonly bytes: number };
  readonly l3: { readonly bytes: number };
  /** From the node of the row to the memory of the node of the column. */
  readonly latencyNs: readonly (readonly number[])[];
}

/** One step of the boot. */
export interface BootStep {
  readonly step: string;
  readonly row: number;
  readonly fromSeries: boolean;
  readonly did: string;
  /** Stores of 8 bytes to page tables. */
  readonly stores: number;
  readonly replicaStores: number;
}

/** Entries of a table that stand side by side and are alike. */
export interface TableEntries {
  /** First and last index, 0 to 511. */
  readonly first: number;
  readonly last: number;
  /** Leaves: bytes mapped by all of them; tables: absent. */
  readonly bytes?: number;
  /** Node of the frames the leaves map; absent for a table. */
  readonly node?: number;
  /** What lies there: text, rodata, data; absent where it is nothing of the image. */
  readonly what?: string;
  /** The table the entry leads to. */
  readonly table?: Table;
}

/** One page of tables, and what is below it. */
export interface Table {
  /** PGD, P4D, PUD, PMD, PTE. */
  readonly name: string;
  /** Physical frame, hexadecimal. */
  readonly frame: string;
  /** Node the frame lies on. */
  readonly node: number;
  /** What is below, where it is shown. */
  readonly entries: readonly TableEntries[];
  /** Tables below that are not shown one by one, by node. */
  readonly more?: readonly { readonly node: number; readonly tables: number }[];
}

/** The tables of one node's kernel root. */
export interface RootTables {
  /** One copy, or with copies. */
  readonly kernel: "one copy" | "copies";
  /** The node whose CPUs load it. */
  readonly node: number;
  readonly root: Table;
}

/** What `kreplica policies --measure --json` prints of one policy. */
export interface PolicyRow {
  readonly name: string;
  readonly summary: string;
  readonly cost: {
    readonly bootBytes: number;
    readonly processBytes: number;
    readonly everywhereBytes: number;
    readonly stores: {
      readonly fork: number;
      readonly exec: number;
      readonly exit: number;
    };
  };
}

/** Mean over all CPUs and tests, percent of a single copy's cycles; least and most over all uncertain costs. */
export interface PolicyGain {
  readonly coldPercent: number;
  readonly coldLow: number;
  readonly coldHigh: number;
  readonly hotPercent: number;
  readonly hotLow: number;
  readonly hotHigh: number;
}

/** Of what `kreplica policies --compare --json` prints, what a page shows. */
export interface ComparedPolicies {
  /** Names of the tests that gains are means of. */
  readonly tests: readonly string[];
  readonly policies: readonly {
    readonly name: string;
    /** An earlier one that does the same on this machine. */
    readonly sameAs: string | null;
    readonly gain: PolicyGain;
    readonly cost: Pick<PolicyRow["cost"], "bootBytes" | "processBytes">;
    /** Beyond a single copy's; null where no test forks. */
    readonly forkCycles: { readonly cold: number; readonly hot: number } | null;
    /** Of a process that comes to a node; null where all nodes use one copy. */
    readonly firstSwitch: { readonly cycles: { readonly cold: number; readonly hot: number } } | null;
    /** Of processes that go on running the copy of the node that made them; null where none do. */
    readonly movedGain: PolicyGain | null;
  }[];
}

/** A parameter of the model. */
export interface Assumption extends Sourced {
  readonly name: string;
}

/** Cycles of one cause per iteration. */
export interface CausePart {
  readonly cause: string;
  readonly cycles: number;
}

/** One bar of "why": a test on a kernel. */
export interface WhyBar {
  readonly test: string;
  readonly cache: "cold" | "hot";
  readonly kernel: "one copy" | "copies";
  /** Cycles an iteration: the parts' sum. */
  readonly cycles: number;
  readonly parts: readonly CausePart[];
  /** Cycles an iteration that waited on memory of another node, whatever they fetched or loaded. */
  readonly farCycles: number;
}

/** All that a page shows; the document that `kreplica report --json` prints. */
export interface ReportDocument {
  readonly schema: "kreplica.report/1";
  /** The command line that made it. */
  readonly command: string;
  readonly comparison: Comparison;
  readonly machine: DrawnMachine;
  readonly why: readonly WhyBar[];
  readonly timeline: readonly BootStep[];
  readonly tables: readonly RootTables[];
  readonly policies: readonly PolicyRow[];
  readonly assumptions: readonly Assumption[];
  /** Absent unless asked for. */
  readonly explain?: Explanation;
  readonly map?: DrawnMap;
  readonly comparedPolicies?: ComparedPolicies;
}
