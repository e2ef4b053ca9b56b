/** The instruction interpreter: what machine and tests use of it. */
export { Block, BlockCache } from "./block.js";
export { callFunction, type CallResult, type CallSite } from "./call.js";
export type { Context, SavedContext } from "./context.js";
export {
  type CodeSource,
  FetchedCode,
  type FetchedCodeOptions,
  type FetchedWindow,
  type SavedFetches,
} from "./fetched-code.js";
export { FetchingPort } from "./fetching-port.js";
export { FlatMemory, FlatMemoryPort, type PageRights } from "./flat-port.js";
export { Interpreter, type InterpreterOptions, type Stop } from "./interpreter.js";
export { MachinePort, type MachinePortOptions } from "./machine-port.js";
export { faultStatus, NON_CANONICAL, pageFault, type CpuPort, type PageWindow, type WindowHolder } from "./port.js";
