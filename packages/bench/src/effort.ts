/** What a replay takes against others: decides what is begun first, how shards are dealt, how far a bar moves. */
import { statSync } from "node:fs";
import { isLongRun } from "./inputs/trace-file.js";

/** A long run takes about so many times what another recording of its size does. */
const LONG = 20;
/** What is run in part is run for one part of so many. */
const PART = 8;

/**
 * For one kernel on one machine, in a unit of its own: bytes of a recording that is no long run. 0 where there is no
 * such file, which is said when it is read.
 */
export const effortOf = (file: string, inPart = false): number =>
  (statSync(file, { throwIfNoEntry: false })?.size ?? 0) * (isLongRun(file) ? LONG / (inPart ? PART : 1) : 1);
