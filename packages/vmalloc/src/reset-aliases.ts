/**
 * What happens to the direct-map view of an area's frames when the area goes: VM_FLUSH_RESET_PERMS.
 *
 * Order matters: first the aliases become absent and the area is unmapped, then one flush, then the aliases become
 * writable again. Were they writable at once, a CPU with a stale executable entry for the area would run what another
 * writes.
 */
import { inject, injectable } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";
import { directAddress, KernelLayout, KernelTables, type TableEditor } from "@kreplica/mm-core/api";
import type { AliasFlush, VmArea } from "./api.js";

/** Frames of every copy. @patch 10/12 mm/vmalloc.c vm_reset_perms, whose flush range forgets the replicas (D7) */
@injectable()
export class EveryCopyFlush implements AliasFlush {
  *framesToFlush(area: VmArea): Generator<Frame> {
    yield* area.frames;
    for (const copy of area.copies.values()) yield* copy;
  }
}

/** Consecutive frames. */
export interface FrameRun {
  readonly first: Frame;
  readonly frames: number;
}

/** Frames whose direct-map view is to be put right, and whether it was global. */
export interface ChangedRun extends FrameRun {
  readonly global: boolean;
}

/** The frames as runs, in the order of their addresses. */
export function runsOf(frames: Iterable<Frame>): FrameRun[] {
  const runs: { first: Frame; frames: number }[] = [];
  for (const frame of [...frames].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && last.first + last.frames === frame) last.frames++;
    else if (!last || last.first + last.frames < frame) runs.push({ first: frame, frames: 1 });
  }
  return runs;
}

/** The direct-map side of an area's frames. */
@injectable()
export class DirectMapAliases {
  constructor(
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(KernelLayout) private readonly layout: KernelLayout,
  ) {}

  addressOf(frame: Frame): bigint {
    return directAddress(this.layout, frame);
  }

  /** Frames whose alias is not writable, or executable: those a permission change on the area reached. */
  changed(node: number, frames: Iterable<Frame>): ChangedRun[] {
    const different: Record<"true" | "false", Frame[]> = { true: [], false: [] };
    for (const frame of frames) {
      const alias = this.tables.lookup(node, this.addressOf(frame));
      // What was made absent has lost its G bit; kernels without KPTI have it everywhere else.
      if (!alias || !alias.writable || alias.executable) different[`${alias?.global ?? !this.layout.pti}`].push(frame);
    }
    return [
      ...runsOf(different.true).map((run) => ({ ...run, global: true })),
      ...runsOf(different.false).map((run) => ({ ...run, global: false })),
    ];
  }

  /** Set_direct_map_invalid. */
  forbid(editor: TableEditor, runs: readonly FrameRun[]): boolean {
    return runs.every((run) =>
      editor.protect({ start: this.addressOf(run.first), pages: run.frames }, { present: false }),
    );
  }

  /**
   * Set_direct_map_default, and the G bit, which Linux does not give back: leaves that agree with their neighbours
   * again can be joined.
   */
  restore(editor: TableEditor, runs: readonly ChangedRun[]): boolean {
    return runs.every(({ first, frames, global }) =>
      editor.protect(
        { start: this.addressOf(first), pages: frames },
        { present: true, writable: true, executable: false, global },
      ),
    );
  }
}
