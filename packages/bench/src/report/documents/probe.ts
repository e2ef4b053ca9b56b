/** What `kreplica probe --json` prints: a measurement, or with --check that measurement against the model. */
import { type MachineSpec, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { MeasuredCell, Measurement } from "@kreplica/machines";
import { walkChain, type WalkedCell, whyNotWalked } from "@kreplica/replay";

/** A measurement, with every cell. */
export type ProbeDocument = Measurement;

/**
 * How the model stands to a measured cell. `within`: neither is more than 1.25 times the other. `runs-ahead`: a fetch
 * took less than modelled; the model's front end waits for each line. `cheaper`: a load took less than modelled, or a
 * fetch of what stays in L1I, where no-ops retire faster than the kernel's instructions. `dearer`: it took more than
 * modelled. `not-modelled`: nothing was walked.
 */
export type CellVerdict = "within" | "runs-ahead" | "cheaper" | "dearer" | "not-modelled";

/** A measured cell beside the model's. */
export interface CheckedCell {
  readonly what: "load" | "fetch";
  /** Node of the CPU. */
  readonly from: number;
  /** Node of the memory. */
  readonly to: number;
  readonly bytes: number;
  readonly runLines: number;
  readonly pages: "small" | "huge" | "mixed";
  readonly cache: "hot" | "cold";
  readonly loaders: number;
  /** Measured. */
  readonly measuredNs: number;
  /** Modelled; null where it was not walked. */
  readonly modelledNs: number | null;
  /** Modelled over measured. */
  readonly ratio: number | null;
  readonly verdict: CellVerdict;
  /** Why it was not walked; null where it was. */
  readonly reason: string | null;
  /** The chain had the same order in both; null where the measurement does not say. */
  readonly sameOrder: boolean | null;
  /**
   * How far apart the measurement's own figures for the cell are, as a ratio from 1: the quarters of its repeats, and
   * the same text in pages of the other size where TLBs hold all of either. Null: it has neither.
   */
  readonly apart: number | null;
  /** The measurement's own figures are no farther apart than "within" goes; true where it has only one. */
  readonly resolved: boolean;
}

/** A measurement against the model, cell by cell. */
export interface ProbeCheckDocument {
  readonly schema: "kreplica.probe-check/1";
  /** Who measured. */
  readonly measuredBy: string;
  /** Machine that was modelled. */
  readonly machine: string;
  readonly cells: readonly CheckedCell[];
  /** How many cells have which verdict. */
  readonly verdicts: Readonly<Record<CellVerdict, number>>;
  /** Of the cells walked on the model: those that the measurement resolves, and how many of them are within. */
  readonly resolved: { readonly walked: number; readonly within: number };
}

/** Farthest that "within" goes, either way. */
const WITHIN = 1.25;

function verdictOf({ what, cache, bytes }: MeasuredCell, { l1i }: MachineSpec, ratio: number): CellVerdict {
  if (ratio > WITHIN) return what === "fetch" && (cache === "cold" || bytes > l1i.bytes) ? "runs-ahead" : "cheaper";
  return ratio < 1 / WITHIN ? "dearer" : "within";
}

/** See {@link CheckedCell.apart}. */
function apartOf({ translation }: MachineSpec, cell: MeasuredCell, cells: readonly MeasuredCell[]): number | null {
  const { what, from, to, bytes, runLines, pages, cache, loaders, nanoseconds, low, high } = cell;
  const { small } = what === "fetch" ? translation.instruction : translation.data;
  const twin =
    bytes <= PAGE_BYTES * small.entries
      ? cells.find(
          (each) =>
            each.what === what &&
            each.from === from &&
            each.to === to &&
            each.bytes === bytes &&
            each.runLines === runLines &&
            each.pages !== pages &&
            each.cache === cache &&
            each.loaders === loaders,
        )
      : undefined;
  if (twin === undefined && (low === null || high === null)) return null;
  const figures = [nanoseconds, low ?? nanoseconds, high ?? nanoseconds, twin?.nanoseconds ?? nanoseconds];
  return Math.max(...figures) / Math.min(...figures);
}

function checked(spec: MachineSpec, cell: MeasuredCell, measurement: Measurement): CheckedCell {
  const { what, from, to, bytes, runLines, pages, cache, loaders, nanoseconds, orderHash } = cell;
  const apart = apartOf(spec, cell, measurement.cells);
  const resolved = apart === null || apart <= WITHIN;
  const same = { what, from, to, bytes, runLines, pages, cache, loaders, measuredNs: nanoseconds, apart, resolved };
  const reason = loaders > 0 ? "other CPUs load the memory" : whyNotWalked(spec, cell);
  if (reason !== undefined)
    return { ...same, modelledNs: null, ratio: null, verdict: "not-modelled", reason, sameOrder: null };
  const walked: WalkedCell = measurement.translations === "small" ? { ...cell, pages: "small" } : cell;
  const modelled = walkChain(spec, walked, measurement.seed ?? 1);
  const ratio = modelled.nanoseconds / nanoseconds;
  return {
    ...same,
    modelledNs: modelled.nanoseconds,
    ratio,
    verdict: verdictOf(cell, spec, ratio),
    reason: null,
    sameOrder: orderHash === null ? null : orderHash === modelled.orderHash,
  };
}

/** @param done is told of each cell that is over */
export function probeCheckDocument(spec: MachineSpec, measurement: Measurement, done: () => void): ProbeCheckDocument {
  const cells = measurement.cells.map((cell) => {
    const result = checked(spec, cell, measurement);
    done();
    return result;
  });
  const told = cells.filter(({ resolved, verdict }) => resolved && verdict !== "not-modelled");
  const count = (verdict: CellVerdict): number => cells.filter((cell) => cell.verdict === verdict).length;
  return {
    schema: "kreplica.probe-check/1",
    measuredBy: measurement.source,
    machine: spec.name,
    cells,
    verdicts: {
      within: count("within"),
      "runs-ahead": count("runs-ahead"),
      cheaper: count("cheaper"),
      dearer: count("dearer"),
      "not-modelled": count("not-modelled"),
    },
    resolved: { walked: told.length, within: told.filter(({ verdict }) => verdict === "within").length },
  };
}
