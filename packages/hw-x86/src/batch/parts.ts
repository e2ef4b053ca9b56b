/** The parts of a core that a batch can work on: ours, of shapes that the binary knows. */
import { LineCache } from "../cache.js";
import { Domain } from "../coherence.js";
import type { Core } from "../core.js";
import { LastLevelCache } from "../last-level-cache.js";
import { Tlb } from "../tlb.js";

/** The core's own parts, all of one kind. */
export interface Parts {
  readonly l1i: LineCache;
  readonly l1d: LineCache;
  readonly l2: LineCache | null;
  readonly codeSmall: Tlb;
  readonly dataSmall: Tlb;
  readonly codeLarge: Tlb | null;
  readonly dataLarge: Tlb | null;
  readonly dataHuge: Tlb | null;
  readonly second: Tlb;
  readonly secondHuge: Tlb | null;
}

/**
 * Tags are compared eight at a time, pages four: what has more ways, or is another's part, TypeScript does, which for
 * L2 is worth a question.
 */
const isNarrow = (cache: unknown): cache is LineCache =>
  cache instanceof LineCache && cache.constructor === LineCache && cache.narrow !== 0 && cache.groupMask >= 0;

const isOurs = (tlb: unknown): tlb is Tlb => tlb instanceof Tlb && tlb.constructor === Tlb && tlb.ways <= 8;

/** @returns undefined where a part of the core is one that a batch cannot work on */
export function batchedParts({ l1i, l1d, l2, tlbs }: Core): Parts | undefined {
  const { codeSmall, dataSmall, codeLarge, dataLarge, dataHuge, second, secondHuge } = tlbs;
  if (!isNarrow(l1i) || !isNarrow(l1d)) return undefined;
  if (!isOurs(codeSmall) || !isOurs(dataSmall) || !isOurs(second)) return undefined;
  if ((codeLarge !== null && !isOurs(codeLarge)) || (dataLarge !== null && !isOurs(dataLarge))) return undefined;
  if (dataHuge !== null && !isOurs(dataHuge)) return undefined;
  if (secondHuge !== null && !isOurs(secondHuge)) return undefined;
  const own = { codeSmall, dataSmall, codeLarge, dataLarge, dataHuge, second, secondHuge };
  return { l1i, l1d, l2: isNarrow(l2) ? l2 : null, ...own };
}

/** What is beyond a core, where nobody shares it and all of it is ours. */
export interface Outer {
  readonly domain: Domain;
  readonly l3: LastLevelCache;
}

/** @returns undefined where other cores are there, or another's part */
export function outerOf(core: Core, { l2 }: Parts): Outer | undefined {
  const domain = core.outer;
  if (!(domain instanceof Domain) || !domain.isFor(core) || l2 === null) return undefined;
  const { l3 } = domain;
  if (!(l3 instanceof LastLevelCache) || l3.constructor !== LastLevelCache || l3.shortBytes === 0) return undefined;
  return { domain, l3 };
}
