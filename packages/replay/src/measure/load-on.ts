/**
 * A recording decoded once for several booted kernels: its pages are placed in all of them alike, what became of moved
 * addresses is noted, and no-ops that a CPU of theirs runs short are found.
 */
import { type Booted, NoOpFinder, runsShortNoOps } from "@kreplica/kernel";
import { gateTo } from "../replay/gate.js";
import type { RecordedGuest } from "@kreplica/trace";
import { visitedFunctions } from "../replay/kernel-visit.js";
import { loadTrace, type RecordedRun } from "../replay/load.js";
import { type Carried, nothingCarried } from "../replay/other-kernel.js";
import { guestImage } from "../replay/recorded-kernel.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { placeIn } from "./elsewhere.js";

/** @param kernels one or more, of one image */
export function loadOn(
  run: RecordedRun,
  { named, other, recorded }: ReplayKernel,
  kernels: readonly { readonly booted: Booted }[],
  how: {
    readonly guest: RecordedGuest;
    /** Whether functions are noted in which a kernel works for its copies. */
    readonly visits: boolean;
    /** Whose no-ops count. */
    readonly cpus: readonly number[];
    readonly located?: boolean;
  },
): { readonly loaded: ReturnType<typeof loadTrace>; readonly carried: Carried } {
  const { guest } = how;
  const { image } = kernels[0]!.booted;
  // Addresses that were moved are the booted kernel's.
  const moved = other ? { ...guest, image: guestImage(image, guest.image.firstPage) } : guest;
  const carried = nothingCarried();
  const symbol = (name: string): bigint | undefined => recorded.image("recorded").symbol(name);
  const shortNoOps = kernels.some(({ booted }) => how.cpus.some((cpu) => runsShortNoOps(booted, cpu)));
  const loaded = loadTrace(
    run,
    { guest, moved, symbol, named, located: how.located ?? false },
    placeIn(kernels),
    how.visits ? visitedFunctions((name) => image.symbol(name)) : undefined,
    other &&
      ((batch) => {
        other.move(batch, carried);
      }),
    gateTo(
      kernels.map(({ booted }) => booted),
      moved,
    ),
    shortNoOps ? new NoOpFinder(image.noOps ?? []) : undefined,
  );
  return { loaded, carried };
}
