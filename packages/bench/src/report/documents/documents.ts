/** Every document that kreplica prints, writes or reads, and the schema that says what is in it. */

/** One kind of document. */
export interface DocumentKind {
  /** What its field `schema` says; the name it goes by where it has none. */
  readonly name: string;
  /** The exported type that its schema is made from. */
  readonly type: string;
  /** File of this folder with that type. */
  readonly source: string;
  /** Command that prints, writes or reads it. */
  readonly command: string;
}

/**
 * Newer forms of a document first: its short name is theirs. Made from types by scripts/document-schemas.mjs: a type
 * here that changes changes its schema, and a test says so. The schemas of machine files and of plans are made from
 * what reads them, in the packages machines and sweep.
 */
export const DOCUMENTS: readonly DocumentKind[] = [
  { name: "kreplica.compare/2", type: "MachineCompareDocument", source: "compare-nodes.ts", command: "compare --json" },
  { name: "kreplica.compare/1", type: "CompareDocument", source: "compare.ts", command: "compare --json --schema 1" },
  { name: "kreplica.explain/1", type: "ExplainDocument", source: "explain.ts", command: "explain --json" },
  { name: "kreplica.map/1", type: "MapDocument", source: "map.ts", command: "map --json" },
  { name: "kreplica.report/1", type: "PageDocument", source: "report.ts", command: "report --json" },
  { name: "kreplica.boot/1", type: "BootDocument", source: "boot.ts", command: "boot --json" },
  { name: "kreplica.tables/1", type: "TablesDocument", source: "tables.ts", command: "tables --json" },
  { name: "kreplica.check/1", type: "CheckDocument", source: "check.ts", command: "check --json" },
  {
    name: "kreplica.counterexample/1",
    type: "CounterexampleDocument",
    source: "check.ts",
    command: "check --save, --replay",
  },
  { name: "kreplica.bugs/1", type: "BugsDocument", source: "bugs.ts", command: "bugs --json" },
  {
    name: "kreplica.policies/2",
    type: "ComparedPoliciesDocument",
    source: "compared-policies.ts",
    command: "policies --compare --json",
  },
  { name: "kreplica.policies/1", type: "PoliciesDocument", source: "policies.ts", command: "policies --json" },
  { name: "kreplica.bpf/1", type: "BpfDocument", source: "bpf.ts", command: "bpf --json" },
  { name: "kreplica.bpf-verify/1", type: "BpfVerifyDocument", source: "bpf.ts", command: "bpf --verify-only --json" },
  { name: "kreplica.bpf-code/1", type: "BpfCodeDocument", source: "bpf.ts", command: "bpf --disassemble --json" },
  { name: "kreplica.machines/1", type: "MachinesDocument", source: "machines.ts", command: "machine --json" },
  { name: "kreplica.probe/1", type: "ProbeDocument", source: "probe.ts", command: "probe --json" },
  {
    name: "kreplica.probe-check/1",
    type: "ProbeCheckDocument",
    source: "probe.ts",
    command: "probe --check --json",
  },
  { name: "kreplica.modules/1", type: "ModulesDocument", source: "modules.ts", command: "modules --json" },
  { name: "kreplica.patch/1", type: "PatchDocument", source: "patch.ts", command: "patch --json" },
  { name: "kreplica.reported/1", type: "ReportedDocument", source: "reported.ts", command: "compare --reported" },
  { name: "kreplica.trace/1", type: "TraceDocument", source: "trace.ts", command: "trace info --json" },
  { name: "kreplica.trace-check/1", type: "TraceCheckDocument", source: "trace.ts", command: "trace check --json" },
  {
    name: "kreplica.sweep-manifest/1",
    type: "SweepManifest",
    source: "sweep.ts",
    command: "sweep, manifest.json in its folder",
  },
  { name: "kreplica.sweep-run/1", type: "SweepDocument", source: "sweep.ts", command: "sweep --json" },
  { name: "kreplica.results/1", type: "ResultsDocument", source: "results.ts", command: "results --json" },
  { name: "kreplica.schemas/1", type: "SchemasDocument", source: "schemas.ts", command: "schema --json" },
];

/** Machine files: what `machine NAME --json` prints and `--machine` reads. */
const MACHINE = { name: "kreplica.machine/1", command: "machine NAME --json, --machine" };

/** Plans: what `sweep` reads. */
const PLAN = { name: "kreplica.sweep/1", command: "sweep PLAN" };

/** Names of all schemas and the commands they are of, the machine file's and the plan's included. */
export const SCHEMAS: readonly Pick<DocumentKind, "name" | "command">[] = [...DOCUMENTS, MACHINE, PLAN];
