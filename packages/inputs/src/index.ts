/**
 * What readers of files share: one error that names file, place and remedy, and the texts that most descriptions are
 * written in.
 */
export { readCallCounts } from "./call-counts.js";
export type { CallCount } from "./call-summary.js";
export { countText, pluralOf } from "./count-text.js";
export { formatCpuList, parseCpuList, parseCpuMask } from "./cpu-list.js";
export { fileName } from "./file-name.js";
export { allFaults, faultOf, InputError, type InputFault, whyNot } from "./input-error.js";
export { type JsonText, parseJsonText } from "./json-text.js";
export { Lz4Fault, type Lz4Room, unpackLz4Block } from "./lz4-block.js";
export { didYouMean, nearest } from "./nearest.js";
export { fieldName, quoted, TextLines } from "./text-lines.js";
