/** Every command there is, in the order of the help. */
import { registerBoot } from "./boot.js";
import { registerBpf } from "./bpf.js";
import { registerBugs } from "./bugs.js";
import { registerCheck } from "./check.js";
import type { RegisterCommand } from "./command.js";
import { registerCompare } from "./compare.js";
import { registerExplain } from "./explain.js";
import { registerExplore } from "./explore.js";
import { registerExport } from "./export.js";
import { registerMachine } from "./machine.js";
import { registerMap } from "./map.js";
import { registerModules } from "./modules.js";
import { registerPatch } from "./patch.js";
import { registerPolicies } from "./policies.js";
import { registerProbe } from "./probe.js";
import { registerRecord } from "./record.js";
import { registerResults } from "./results.js";
import { registerSchema } from "./schema.js";
import { registerReport } from "./report.js";
import { registerSweep } from "./sweep.js";
import { registerTables } from "./tables.js";
import { registerTrace } from "./trace.js";
import { registerWorker } from "./worker.js";

export const COMMANDS: readonly RegisterCommand[] = [
  registerCompare,
  registerExplain,
  registerMap,
  registerReport,
  registerExplore,
  registerSweep,
  registerWorker,
  registerResults,
  registerExport,
  registerBoot,
  registerTables,
  registerCheck,
  registerBugs,
  registerPolicies,
  registerBpf,
  registerMachine,
  registerProbe,
  registerModules,
  registerPatch,
  registerTrace,
  registerRecord,
  registerSchema,
];
