/**
 * Links into the explorer, as `kreplica explore` serves it where no port is named, and what somebody who follows one
 * drops onto the page: files that no address has room for.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import {
  BEHIND_ALL,
  FIRST,
  hashOf,
  hashOfLesson,
  keyOf,
  MOST_NODES,
  packedMachine,
  type Place,
} from "@kreplica/explorer";
import type { MachineSpec } from "@kreplica/hw-x86";
import { extensions } from "@kreplica/kernel";
import { machineDocument, preset } from "@kreplica/machines";
import { shownPath } from "../inputs/input-file.js";
import type { CounterexampleDocument } from "../report/documents/check.js";
import { sha256 } from "../sweep/cells.js";
import type { KernelOption } from "./kernel-option.js";

/** Nobody but this machine is answered. */
export const LOOPBACK = "127.0.0.1";
/** Where the explorer is served unless another port is named. */
export const DEFAULT_PORT = 6510;

/** What the explorer's address begins with. */
const EXPLORER = `http://${LOOPBACK}:${DEFAULT_PORT}/#`;

/** Letters of a machine that still goes into a link; servers of today take 3,000 to 6,000. */
const LONGEST_MACHINE = 8_000;

/** The lesson of a defect of the series, or of a bug of the museum. */
export const linkToLesson = (id: string): string => `${EXPLORER}${hashOfLesson(id)}`;

/** A kernel that is booted, as far as an address says it. */
interface BootedHere extends Pick<Place, "levels" | "pti" | "kasan" | "policy"> {
  readonly machine: MachineSpec;
  /** What `--machine` named. */
  readonly machineFiles?: readonly string[];
}

/**
 * The words that lead to the boot of a kernel, at its end.
 *
 * @returns behind "start kreplica explore and"; undefined where the explorer has no room for the machine, or does not
 * know what a plugin brought
 */
export async function linkToBoot(
  { machine, machineFiles = [], ...kernel }: BootedHere,
  files: KernelOption,
): Promise<string | undefined> {
  const nodes = machine.nodes.length;
  const named = preset(machine.name) === machine;
  const text = named ? machine.name : await packedMachine(machineDocument(machine));
  const fits = text.length <= LONGEST_MACHINE;
  const place = { ...kernel, nodes, laid: [], operations: [], moment: FIRST.moment };
  return words({ ...place, ...(fits ? { machine: text } : {}) }, fits ? [] : machineFiles, files);
}

/** The same to the last step of a counterexample, on the kernel that was named. */
export function linkTo(
  saved: Omit<CounterexampleDocument, "schema" | "invariant">,
  files: KernelOption,
): string | undefined {
  const { nodes, levels, pti, kasan, encryption, configuration, policy, laid = [], defect, operations } = saved;
  // The page has no such machines.
  if (encryption) return undefined;
  return words(
    {
      nodes,
      levels,
      pti,
      ...(kasan ? { kasan } : {}),
      ...(configuration === undefined ? {} : { configuration }),
      policy,
      laid: [...laid, ...(defect === undefined ? [] : [defect])],
      operations,
      moment: { step: BEHIND_ALL, store: 0 },
    },
    [],
    files,
  );
}

function words(place: Place, machineFiles: readonly string[], { kernel, systemMap }: KernelOption): string | undefined {
  if (place.nodes > MOST_NODES || extensions().files.length > 0) return undefined;
  const own = [kernel, systemMap].filter((file) => file !== undefined);
  const called = own.map((file) => basename(shownPath(file)));
  const hash = hashOf({
    ...place,
    ...(kernel === undefined ? {} : { kernel: keyOf(called[0]!, sha256(readFileSync(kernel))) }),
  });
  const dropped = [...machineFiles.map((file) => basename(shownPath(file))), ...called];
  const drop = dropped.length === 0 ? "" : ` and drop ${dropped.join(" and ")} onto the page`;
  return `open ${EXPLORER}${hash}${drop}`;
}
