/**
 * Where a defect of the series can show: on which kinds of kernel, and by whose operations. Looking for one draws
 * nothing else, and where what was asked for leaves no such kernel or no such operation, that is said before the work.
 */
import { countText } from "@kreplica/inputs";
import { defectOf } from "@kreplica/series-as-posted";
import { areaFamily } from "./families/areas.js";
import { cpuFamily } from "./families/cpus.js";
import { kernelPageFamily } from "./families/kernel-pages.js";
import { moduleFamily } from "./families/modules.js";
import { patchingFamily } from "./families/patching.js";
import { processFamily } from "./families/processes.js";
import { refusalFamily } from "./families/refusal.js";
import type { OperationFamily } from "./family.js";
import { CORE_FAMILIES } from "./core-families.js";
import { fewestNodes, type Kind } from "./kinds.js";

/** Drawn all the time: in a whole repertoire it comes up now and then. */
const often = (family: OperationFamily): OperationFamily => ({ ...family, rare: false });
/** Memory comes on line in about one run of three, for a kernel whose memory came serves no further one. */
const plugging: OperationFamily = {
  ...cpuFamily,
  kinds: { ...cpuFamily.kinds, plug: { ...cpuFamily.kinds["plug"]!, weight: 8 } },
};

const AREAS: readonly OperationFamily[] = [areaFamily, moduleFamily, refusalFamily].map(often);
const PATCHES: readonly OperationFamily[] = [patchingFamily, moduleFamily, refusalFamily].map(often);
const MEMORY: readonly OperationFamily[] = [plugging, processFamily, kernelPageFamily];

/** Operations that meet it, where those of the core do not; and what its kernels have beside its configuration. */
interface Reach {
  readonly families?: readonly OperationFamily[];
  readonly on?: (kind: Kind) => boolean;
  readonly needs?: string;
  readonly fewest?: number;
}

const kpti: Reach = { on: ({ pti }) => pti, needs: "KPTI on" };
const REACH: Readonly<Record<string, Reach>> = {
  // The walk of a spurious fault loses its index on one node too.
  D2: { fewest: 1 },
  D5: { families: PATCHES },
  D6: { families: AREAS },
  D7: { families: AREAS },
  D10: { families: MEMORY },
  "D10-growth": {
    families: MEMORY,
    on: ({ levels }) => levels === 4,
    needs: "4 levels: with 5 all memory lies behind one top-level slot",
  },
  D11: kpti,
  D12: { families: AREAS, on: ({ levels }) => levels === 4, needs: "4 levels: with 5 the series excludes KASAN" },
  D15: kpti,
  N1: { families: PATCHES },
  N3: { families: AREAS },
};
const reachOf = (id: string): Reach => REACH[id] ?? {};

/** Nodes it takes: two for anything to be copied, and one whose memory comes later holds nothing. */
function fewestOf(id: string): number {
  const configuration = defectOf(id)?.configuration;
  return configuration === undefined ? (reachOf(id).fewest ?? 2) : fewestNodes(configuration);
}

/** Whether a defect can show on a kind of kernel. */
export function canShow(id: string, kind: Kind): boolean {
  const configuration = defectOf(id)?.configuration;
  return (
    kind.nodes >= fewestOf(id) &&
    (configuration === undefined || configuration === kind.configuration) &&
    (reachOf(id).on?.(kind) ?? true)
  );
}

/** Families whose operations meet a defect. */
export const familiesOf = (id: string): readonly OperationFamily[] => reachOf(id).families ?? CORE_FAMILIES;

/** What must be so for a defect to show, where that is not so on any of the kinds; undefined otherwise. */
export function outOfReach(id: string, kinds: readonly Kind[]): string | undefined {
  if (kinds.some((kind) => canShow(id, kind))) return undefined;
  const configuration = defectOf(id)?.configuration;
  const { on, needs } = reachOf(id);
  // Of two reasons the kernel's own comes first: no number of nodes would help.
  if (on && needs !== undefined && !kinds.some((kind) => on(kind))) return `shows with ${needs}`;
  return `shows with ${countText(fewestOf(id), "node")} and more${configuration === undefined ? "" : ` (${configuration})`}`;
}

/**
 * Sets of families of which each meets one of the defects that can show on a kind.
 * @param allowed operations that may be drawn at all
 */
export function toward(
  ids: readonly string[],
  kind: Kind,
  allowed: readonly OperationFamily[],
): readonly (readonly OperationFamily[])[] {
  const sets = new Set(ids.filter((id) => canShow(id, kind)).map(familiesOf));
  return [...sets].filter((set) => set.every(({ name }) => allowed.some((each) => each.name === name)));
}
