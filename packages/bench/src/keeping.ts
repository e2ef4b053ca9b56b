/** Whether and where this process keeps the results it tells. */
import { join } from "node:path";
import { cacheFolder } from "./cache-folder.js";
import type { Keeping } from "./commands/kept.js";

/** Looking a result up takes a fifth of it, where the disk is slow. */
const LEAST_SECONDS = 0.5;

/**
 * In `results` of the user's cache folder, unless KREPLICA_KEEP is 0 (tests and CI set it: they ask what the code
 * computes).
 *
 * @param watched whether somebody sees standard error, and is told that a result was kept
 */
export const keepingFor = (
  environment: Readonly<Record<string, string | undefined>>,
  watched: boolean,
): Keeping | undefined =>
  environment["KREPLICA_KEEP"] === "0"
    ? undefined
    : { folder: join(cacheFolder(environment), "results"), watched, leastSeconds: LEAST_SECONDS };
