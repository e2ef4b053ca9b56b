/** Reads what was dropped onto the page: nothing of it leaves the browser. */
import type { Place } from "../hash.js";

/** Steps of the boot, after which operations begin. */
const BEHIND_ALL = 100_000;

/**
 * A saved counterexample as a place at its end.
 * @throws Error with a sentence for anything else
 */
export function placeOfFile(name: string, text: string, now: Place): Place {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is no JSON: ${(error as Error).message}. Drop a file that kreplica check --save wrote.`, {
      cause: error,
    });
  }
  const saved = found as Readonly<Record<string, unknown>>;
  if (typeof found !== "object" || found === null || saved["schema"] !== "kreplica.counterexample/1")
    throw new Error(`${name} is no saved counterexample. Drop a file that kreplica check --save wrote.`);
  const { nodes, levels, pti, kasan, configuration, policy, laid, defect, operations } = saved;
  if (typeof nodes !== "number" || nodes < 1 || nodes > 8)
    throw new Error(`${name} is about ${String(nodes)} nodes; there is room for 1 to 8.`);
  if (!Array.isArray(operations)) throw new Error(`${name} has no operations.`);
  return {
    nodes,
    levels: levels === 5 ? 5 : 4,
    pti: pti === true,
    ...(kasan === true ? { kasan } : {}),
    ...(typeof configuration === "string" ? { configuration } : {}),
    policy: typeof policy === "string" ? policy : now.policy,
    laid: [...(Array.isArray(laid) ? laid.map(String) : []), ...(typeof defect === "string" ? [defect] : [])],
    operations: operations as Place["operations"],
    moment: { step: BEHIND_ALL, store: 0 },
  };
}
