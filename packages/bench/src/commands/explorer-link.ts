/** Links into the explorer, as `kreplica explore` serves it where no port is named. */
import { hashOf, hashOfLesson } from "@kreplica/explorer";
import type { CounterexampleDocument } from "../report/documents/check.js";

/** Nobody but this machine is answered. */
export const LOOPBACK = "127.0.0.1";
/** Where the explorer is served unless another port is named. */
export const DEFAULT_PORT = 6510;

/** What the explorer's address begins with. */
const EXPLORER = `http://${LOOPBACK}:${DEFAULT_PORT}/#`;

/** Steps of the boot, behind which operations begin; the page goes to the last step there is. */
const BEHIND_ALL = 100_000;

/** The most nodes that the explorer has room for. */
const MOST_NODES = 8;

/** The lesson of a defect of the series, or of a bug of the museum. */
export const linkToLesson = (id: string): string => `${EXPLORER}${hashOfLesson(id)}`;

/** The boot of a kernel, at its end; undefined for a machine that the explorer has no room for. */
export function linkToBoot(
  kernel: Pick<CounterexampleDocument, "nodes" | "levels" | "pti" | "kasan" | "policy">,
): string | undefined {
  return linkTo({ ...kernel, operations: [] });
}

/** The last step of a counterexample; undefined for a machine that the explorer has no room for. */
export function linkTo(saved: Omit<CounterexampleDocument, "schema" | "invariant">): string | undefined {
  const { nodes, levels, pti, kasan, configuration, policy, laid = [], defect, operations } = saved;
  if (nodes > MOST_NODES) return undefined;
  const hash = hashOf({
    nodes,
    levels,
    pti,
    ...(kasan ? { kasan } : {}),
    ...(configuration === undefined ? {} : { configuration }),
    policy,
    laid: [...laid, ...(defect === undefined ? [] : [defect])],
    operations,
    moment: { step: BEHIND_ALL, store: 0 },
  });
  return `${EXPLORER}${hash}`;
}
