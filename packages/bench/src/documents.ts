/**
 * Types of every JSON document that the kreplica command prints, writes or reads; `kreplica schema` has their schemas.
 */
export type { BootDocument, BootedImage, MemoryDocument } from "./report/documents/boot.js";
export type {
  BpfCodeDocument,
  BpfDocument,
  BpfVerifyDocument,
  CalledHelper,
  ListedProgram,
  RefusedProgram,
  VerifiedProgram,
} from "./report/documents/bpf.js";
export type { BugDocument, BugListDocument, BugsDocument, DefectDocument, ListedBug } from "./report/documents/bugs.js";
export type {
  CheckDocument,
  CounterexampleDocument,
  FoundViolation,
  OperationDocument,
  ReplayedViolation,
} from "./report/documents/check.js";
export type {
  CompareDocument,
  ComparedTest,
  InvariantCounts,
  LeftOut,
  RecordedStatistics,
  ReportedBeside,
} from "./report/documents/compare.js";
export type {
  FunctionCycles,
  OtherPlaces,
  PageCycles,
  PlaceCycles,
  TestFunctions,
  TestPages,
} from "./report/documents/compare-places.js";
export type { PageDocument } from "./report/documents/report.js";
export type {
  BoundedTest,
  CompareVerdict,
  LayoutRange,
  LayoutsDocument,
  MachineCompareDocument,
  NodeGainsDocument,
  NodeTest,
  ProcessBytes,
} from "./report/documents/compare-nodes.js";
export type {
  ComparedPoliciesDocument,
  ComparedPolicyRow,
  FirstSwitchFigures,
  PolicyCycles,
  PolicyGain,
} from "./report/documents/compared-policies.js";
export type { ExplainDocument, ExplainedFigure, ExplainingCause, SensitiveTo } from "./report/documents/explain.js";
export type { ListedMachine, MachinesDocument } from "./report/documents/machines.js";
export type { KnownProcessor, MapBreakEven, MapCell, MapDocument, MapPlace } from "./report/documents/map.js";
export type { ModulesDocument, ModulesRun, ModulesTotal, UnusableFile } from "./report/documents/modules.js";
export type { OnlineCpus, PatchDocument } from "./report/documents/patch.js";
export type {
  ListedPolicy,
  MeasuredPoliciesDocument,
  MeasuredPolicy,
  PoliciesDocument,
  PolicyListDocument,
} from "./report/documents/policies.js";
export type { CellVerdict, CheckedCell, ProbeCheckDocument, ProbeDocument } from "./report/documents/probe.js";
export type {
  GainPercent,
  ReportedCold,
  ReportedDocument,
  ReportedGain,
  ReportedHot,
} from "./report/documents/reported.js";
export type { ListedSchema, SchemasDocument } from "./report/documents/schemas.js";
export type { ResultsDocument } from "./report/documents/results.js";
export type { SweepDocument, SweepManifest, SweepResults, SweepShard } from "./report/documents/sweep.js";
export type {
  NodeTableDocument,
  RecordedTablesDocument,
  TableDifference,
  TablePictures,
  TablePicturesDocument,
  TablesDocument,
} from "./report/documents/tables.js";
export type {
  CheckedRecording,
  NamedWindow,
  RecordingContents,
  TraceCheckDocument,
  TraceDocument,
} from "./report/documents/trace.js";
export { type DocumentKind, DOCUMENTS, SCHEMAS } from "./report/documents/documents.js";
export { schemaFile } from "./schema-file.js";
