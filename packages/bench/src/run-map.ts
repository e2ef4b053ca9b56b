/** A test's map, run in workers where there are any: what `kreplica map` draws, and `kreplica report` on request. */
import type { PolicyChoice } from "@kreplica/kernel";
import { type GainMap, gainMap, type KernelJob } from "@kreplica/replay";
import { type NamedKernels, replayKernel } from "./inputs/replay-kernel.js";
import { mapDocument, type MapDocument } from "./report/documents/map.js";
import { mapSentences } from "./report/map.js";
import { knownProcessors } from "./report/preset-standings.js";
import type { Progress } from "./report/terminal.js";
import { runJobs } from "./run-jobs.js";
import { runVariants } from "./run-variants.js";

/** @throws InputError where the recording is refused, or there is nothing to draw a map over */
export const runMap = async (
  given: KernelJob & NamedKernels,
  policy: PolicyChoice,
  file: string,
  progress: Progress,
): Promise<GainMap> =>
  gainMap(
    given,
    await replayKernel(given),
    {
      policy,
      file,
      whole: async (policies) => (await runJobs([{ ...given, file, alignment: "patch-06", policies }], progress))[0]!,
    },
    (jobs) => runVariants(jobs, progress),
  );

/** With the processors that can be bought, and what it comes to in sentences. */
export const mapDocumentOf = (map: GainMap): MapDocument => mapDocument(map, knownProcessors(), mapSentences(map));
