/**
 * The entry text under KPTI, which both halves of every pair map: its large leaf is split, user halves are brought up
 * to date (as pti_finalize does), and the small leaves become one again while CPUs of every node enter and leave user
 * mode. B11 after each: the table went from both halves, or it stays.
 */
import { LARGE_PAGES, PAGE } from "@kreplica/hw-x86/api";
import type { CpuId } from "@kreplica/hw-x86";
import { copyImageToUser, pageWithin, tableAt, userImageRange } from "@kreplica/mm-core";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory";
import type { FamilyAtWork, OperationFamily } from "../family.js";
import type { Subject } from "../subject.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import { quietly } from "./splits.js";

export type EntryTextOperation =
  | { readonly op: "entrysplit"; readonly page: number }
  | { readonly op: "entryjoin" }
  | { readonly op: "entryfetch"; readonly cpu: number; readonly half: "kernel" | "user" };

export const entryTextFamily: OperationFamily<EntryTextOperation> = {
  name: "entry-text",
  rare: true,
  kinds: {
    entrysplit: { weight: 1, fields: { page: "number" } },
    entryjoin: { weight: 1, fields: {} },
    entryfetch: { weight: 2, fields: { cpu: "number", half: ["kernel", "user"] } },
  },
  scenes: [
    (drawing) => {
      const fetch = (): EntryTextOperation => ({
        op: "entryfetch",
        cpu: drawing.cpu(),
        half: drawing.oneOf(["kernel", "user"] as const),
      });
      const scene: EntryTextOperation[] = [
        { op: "entrysplit", page: drawing.random(4) },
        fetch(),
        fetch(),
        { op: "entryjoin" },
        fetch(),
        fetch(),
      ];
      return scene;
    },
  ],
  draw: (op, drawing) =>
    op === "entrysplit"
      ? { op, page: drawing.random(4) }
      : op === "entryjoin"
        ? { op }
        : { op, cpu: drawing.cpu(), half: drawing.oneOf(["kernel", "user"] as const) },
  describe: (o) =>
    o.op === "entrysplit"
      ? `page ${o.page} of the entry text is changed and changed back: its large leaf splits, in both halves`
      : o.op === "entryjoin"
        ? "the entry text's small leaves become one again"
        : `CPU ${o.cpu} fetches entry text on the ${o.half} half of its pair`,
  plugins: AREA_PLUGINS,
  start: (system) => new EntryTextAtWork(system),
};

class EntryTextAtWork implements FamilyAtWork<EntryTextOperation> {
  private readonly setMemory: SetMemory;
  private readonly start: bigint;
  private split = false;

  constructor(private readonly system: Subject) {
    const { assembly, layout, image, options } = system.parts;
    this.setMemory = assembly.get(SetMemory);
    this.start = userImageRange(layout, image, options.pcid).start;
  }

  perform(o: EntryTextOperation): void {
    if (!this.system.parts.layout.pti) return;
    quietly(this.system, () => {
      switch (o.op) {
        case "entrysplit":
          return this.divide(o.page);
        case "entryjoin":
          return this.join();
        case "entryfetch":
          return this.fetch(this.system.cpu(o.cpu), o.half);
      }
    });
  }

  undo(): void {
    if (this.split)
      quietly(this.system, () => {
        this.join();
      });
  }

  private divide(page: number): void {
    if (this.split) return;
    const range = { start: this.start + BigInt(1 + page) * PAGE, pages: 1 };
    try {
      this.setMemory.nonGlobal(range);
    } catch (error) {
      if (!(error instanceof SetMemoryError) || error.code !== "out-of-frames") throw error;
      return;
    }
    this.setMemory.global(range);
    this.split = true;
    this.toUserHalves();
    this.look("split");
  }

  /**
   * What pti_finalize does: entries of the kernel's half go to the user's. Where user halves share their tables,
   * logical node 0's (D15).
   */
  private toUserHalves(): void {
    const { context, view } = this.system.parts;
    const shared = view.copies.userTables === false;
    const range = { start: this.start, end: this.start + BigInt(LARGE_PAGES) * PAGE };
    for (const { root } of view.roots) {
      if (shared && root !== view.kernelRoot(0)) continue;
      copyImageToUser(context, root, root + 1, range, () =>
        this.system.fail("C6", "a user half has no table for the entry text"),
      );
    }
  }

  private join(): void {
    this.setMemory.join({ start: this.start, pages: LARGE_PAGES });
    this.split = false;
    this.look("joined");
    const { view, entries, layout } = this.system.parts;
    for (const { root } of view.roots) {
      if (tableAt(entries.memory, root, layout.levels, this.start, 1) !== undefined)
        this.system.fail("C5", "512 pages of entry text that agree stay small after a join");
    }
  }

  private look(what: string): void {
    this.system.checkRules(["B11", "H5"]);
    const { view, entries, layout } = this.system.parts;
    for (const { root, node } of view.roots) {
      const small = [root, root + 1].map(
        (each) => tableAt(entries.memory, each, layout.levels, this.start, 1) !== undefined,
      );
      if (small[0] !== small[1] && view.copies.userTables !== false)
        this.system.fail(
          "H5",
          `the entry text is ${what}: on node ${node} the kernel's half has ${small[0] ? "small leaves" : "a large one"}, the user's ${small[1] ? "small ones" : "a large one"}`,
        );
    }
  }

  /** G6: whichever half, the fetch succeeds and reaches what the half's tables say now. */
  private fetch(cpu: CpuId, half: "kernel" | "user"): void {
    const { machine, switcher } = this.system.parts;
    const core = machine.cpu(cpu);
    if (half === "user" && !switcher.loaded(cpu)) return;
    if (half === "user") switcher.enterUser(cpu);
    // The entry itself: the trap has raised the privilege, the root is still the user's.
    core.privilege = 0;
    const status = core.fetch(Number(BigInt.asIntN(32, this.start)), Number(BigInt.asIntN(32, this.start >> 32n)));
    const { lastFrame, rootFrame } = core;
    if (half === "user") switcher.enterKernel(cpu);
    if (status !== 0)
      this.system.fail(
        "G6",
        `CPU ${cpu} cannot fetch the entry text on the ${half} half of its pair (frame ${rootFrame})`,
      );
    const { entries } = this.system.parts;
    const bytes = entries.memory.equalFrames(lastFrame, this.original());
    if (!bytes)
      this.system.fail(
        "G6",
        `CPU ${cpu} fetches frame ${lastFrame} as entry text on the ${half} half of its pair, whose bytes are others than the kernel's`,
      );
  }

  private original(): number {
    const { view, tables } = this.system.parts;
    const leaf = tables.lookup(view.master, this.start)!;
    return leaf.frame + pageWithin(this.start, leaf.level);
  }
}
