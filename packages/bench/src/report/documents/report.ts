/** What `kreplica report --json` prints: all that stands in the page, by the package that makes it. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import type { BootEvent } from "@kreplica/mm-core/api";
import {
  type Assumption,
  type ReportDocument,
  type RootTables,
  type Sourced,
  valueAt,
  type WhyBar,
  whyBars,
} from "@kreplica/report";
import { machineDocument } from "@kreplica/machines";
import type { MachineCompareDocument } from "./compare-nodes.js";
import type { ComparedPoliciesDocument } from "./compared-policies.js";
import type { ExplainDocument } from "./explain.js";
import type { MapDocument } from "./map.js";
import type { MeasuredPolicy } from "./policies.js";

/** The comparison, and what is shown beside it. Every figure of the page names its place in this document. */
export interface PageDocument {
  readonly schema: "kreplica.report/1";
  /** The command line that made it. */
  readonly command: string;
  readonly comparison: MachineCompareDocument;
  /** What `kreplica machine NAME --json` prints. */
  readonly machine: Readonly<Record<string, unknown>>;
  /** Where the cycles went, two bars a test and state of the caches. */
  readonly why: readonly WhyBar[];
  /** Steps of the boot of the kernel with copies. */
  readonly timeline: readonly BootEvent[];
  /** Kernel roots: of the kernel with one copy, and of each holder. */
  readonly tables: readonly RootTables[];
  /** All designs, measured on this machine. */
  readonly policies: readonly MeasuredPolicy[];
  /** Every number of the machine that has a range or a source of its own. */
  readonly assumptions: readonly Assumption[];
  /** What it would take (--explain); absent unless asked for. */
  readonly explain?: ExplainDocument;
  /** Where a test gains (--map); absent unless asked for. */
  readonly map?: MapDocument;
  /** What each design gains beside what it costs (--policies); absent unless asked for. */
  readonly comparedPolicies?: ComparedPoliciesDocument;
}

/** What a page is made of beside the comparison. */
export interface PageParts extends Pick<
  PageDocument,
  "command" | "comparison" | "timeline" | "tables" | "policies" | "explain" | "map" | "comparedPolicies"
> {
  readonly spec: MachineSpec;
}

/** The document, as a reader of its JSON has it: what is no value of JSON is gone. */
export function pageDocument({ spec, comparison, ...parts }: PageParts): PageDocument & ReportDocument {
  const machine = machineDocument(spec);
  const plain = JSON.parse(JSON.stringify({ comparison, machine, ...parts })) as Omit<
    PageDocument & ReportDocument,
    "schema" | "why" | "assumptions"
  >;
  return {
    schema: "kreplica.report/1",
    ...plain,
    why: whyBars(plain.comparison),
    assumptions: assumptions(plain.machine),
  };
}

/** Every number with a source, by its path. */
function assumptions(machine: unknown): Assumption[] {
  const found: Assumption[] = [];
  const visit = (path: string, value: unknown): void => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return;
    if (isSourced(value)) {
      const { value: number, low, high, source, provisional } = value;
      found.push({
        name: path,
        value: number,
        ...(low === undefined ? {} : { low }),
        ...(high === undefined ? {} : { high }),
        source,
        ...(provisional ? { provisional } : {}),
      });
      return;
    }
    for (const key of Object.keys(value)) visit(path === "" ? key : `${path}.${key}`, valueAt(value, key));
  };
  visit("", machine);
  return found;
}

const isSourced = (value: object): value is Sourced =>
  typeof (value as Partial<Sourced>).value === "number" && typeof (value as Partial<Sourced>).source === "string";
