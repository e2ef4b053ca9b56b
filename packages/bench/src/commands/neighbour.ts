/** Which recording other CPUs run beside a test: a test of those compared, a file, or a test of a folder's. */
import { existsSync, statSync } from "node:fs";
import { InputError } from "@kreplica/inputs";
import { inputPath } from "../inputs/input-file.js";
import { tracesIn } from "../inputs/traces.js";
import { chosenRecordings } from "./chosen-recordings.js";

const OPTION = "--neighbour";

/**
 * @param text `fork-1`, `mine.kt.zst`, `recordings:fork-1`: what exists is a file or folder, else a test
 * @param files recordings that are compared, whatever is chosen of them
 * @param named they are of a kernel that was named, and so is this one: tests have the names of their files
 * @throws InputError where there is none, or more than one
 */
export function neighbourRecording(text: string, files: readonly string[], named: boolean): string {
  const colon = text.lastIndexOf(":");
  const whole = text === "-" || existsSync(text);
  const folder = whole ? text : text.slice(0, Math.max(colon, 0));
  if (folder !== "" && (whole || existsSync(folder)))
    return one(recordingsIn(folder), whole ? undefined : [text.slice(colon + 1)], named);
  return one(files, [text], named);
}

const recordingsIn = (path: string): string[] =>
  path !== "-" && statSync(path).isDirectory() ? tracesIn(path, OPTION) : [inputPath(path, OPTION)];

function one(files: readonly string[], names: readonly string[] | undefined, named: boolean): string {
  const { recordings, tests, refused } = chosenRecordings(files, names, named, OPTION);
  const [first] = recordings;
  if (first === undefined) throw refused[0]!;
  if (recordings.length > 1)
    throw new InputError({
      file: OPTION,
      reason: `${recordings.length} recordings, ${tests.join(", ")}, where one is expected`,
      remedy: "write the test behind the folder, like FOLDER:TEST",
    });
  return first;
}
