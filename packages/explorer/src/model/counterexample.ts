/** A saved counterexample, as `kreplica check --save` writes it, as a place at its end. */
import { InputError } from "@kreplica/inputs";
import { BEHIND_ALL, type Place } from "../hash.js";

type Saved = Readonly<Record<string, unknown>>;

/** What was saved; undefined for a file that is no counterexample. */
export function counterexampleIn(bytes: Uint8Array): Saved | undefined {
  if (bytes[0] !== 0x7b) return undefined;
  try {
    const found = JSON.parse(new TextDecoder().decode(bytes)) as Saved;
    return found["schema"] === "kreplica.counterexample/1" ? found : undefined;
  } catch {
    return undefined;
  }
}

/** @param file as errors name it @throws InputError naming the field */
export function placeOfCounterexample(file: string, saved: Saved, now: Place): Place {
  const { nodes, levels, pti, kasan, encryption, configuration, policy, laid, defect, operations } = saved;
  const remedy = "open a file as kreplica check --save wrote it";
  if (typeof nodes !== "number" || !Number.isInteger(nodes) || nodes < 1 || nodes > 8)
    throw new InputError({
      file,
      field: "nodes",
      reason: `${JSON.stringify(nodes)}, and there is room for 1 to 8`,
      remedy,
    });
  if (encryption === true)
    throw new InputError({
      file,
      field: "encryption",
      reason: "no memory is encrypted here",
      remedy: "run kreplica check --replay with it",
    });
  if (!Array.isArray(operations) || operations.some((each) => typeof (each as Saved | null)?.["op"] !== "string"))
    throw new InputError({ file, field: "operations", reason: "no list of operations", remedy });
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
