/** A recording as a program of references, and what runs it: for whoever measures something of his own. */
export { gateTo } from "./replay/gate.js";
export { type KernelVisit, visitedFunctions, VisitFinder, VisitKind } from "./replay/kernel-visit.js";
export { readLineSchedule } from "./replay/line-schedule.js";
export { loadTrace, scheduledFrames } from "./replay/load.js";
export { ProgramBuilder } from "./replay/program-builder.js";
export { Control, Op, Program, type ProgramPage, Region } from "./replay/program.js";
export { framesIn, framesToReserve } from "./replay/recorded-frames.js";
export { Replayer, type Workload } from "./replay/replayer.js";
