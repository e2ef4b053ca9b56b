/** KTRC1 recordings: bytes to columns and back, what a recording is of, and what is counted in it. */
export { Access, Batch, Kind } from "./batch.js";
export { checkTrace, type TraceCheck } from "./check.js";
export { CallCounter } from "./calls.js";
export { LONGEST_RECORD, MAGIC, TraceDecoder } from "./decoder.js";
export { exportChampSim, exportDin } from "./foreign/champsim.js";
export { exportDrmemtrace } from "./foreign/drmemtrace-export.js";
export { exportDrmemtraceTemplates, type TemplatesResult } from "./foreign/drmemtrace-templates.js";
export { type ForeignFormat, foreignFormatOf, foreignFormats, importTrace } from "./foreign/formats.js";
export { type ImportResult } from "./foreign/import-writer.js";
export { EntryPlaces, LEAST_SHARE_OF_FUNCTIONS } from "./entries.js";
export { TraceEncoder } from "./encoder.js";
export { type CutRequest, type CutResult, cutTrace, mergeTraces } from "./cut.js";
export { type ByteSink, TraceWriter } from "./writer.js";
export { PageBook, pageOf } from "./page-book.js";
export {
  CPU_ENTRY_AREA,
  DESCRIPTOR_BYTES,
  guestEnd,
  type GuestImage,
  type GuestMappings,
  type GuestNode,
  guestNodeOfCpu,
  guestNodeOfPage,
  imagePages,
  type ImageTail,
  MAPPINGS,
  type RecordedGuest,
  Region,
  regionNames,
  regionsOf,
  shippedGuest,
  tailOfPage,
} from "./guest.js";
export {
  type CpuCount,
  type FunctionCount,
  type InventoryCount,
  type RecordedWindow,
  type RegionCount,
  type TraceInventory,
  TraceTaker,
} from "./inventory.js";
export { markedCpu, stemOf, testOf } from "./peek.js";
export {
  type BatchSink,
  readTrace,
  readTraceBytes,
  type Recording,
  recordingOf,
  type RecordingReader,
} from "./read-trace.js";
export { type ReferenceCount, TraceCounter, type TraceStatistics } from "./statistics.js";
export { surveyGuest } from "./survey.js";
export { MARKER, Phase, testOfMarker, type TraceTest, traceTests } from "./tests.js";
export { TraceError, type TraceErrorCode } from "./trace-error.js";
