/** What can only be seen while booting: recorded at the end of each step, judged by the checker later. */
import { type AddressRange, type Frame, isPresent, type NodeId, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import {
  BOOT_STEPS,
  bootRoot,
  type BootStep,
  type CpuUnits,
  directAddress,
  imageAddress,
  imageFrame,
  imageRange,
  type KernelBoot,
} from "@kreplica/mm-core/api";
import { frameOf, isLeaf, pagesBetween, walkTables } from "@kreplica/hw-x86/api";
import { PageReader } from "./page-reader.js";
import type { WatchedKernel } from "./watched.js";

type Watched = WatchedKernel & { readonly boot: KernelBoot };

/** How things stood at the end of a step. */
export interface StepSeen {
  readonly step: BootStep;
  readonly holders: readonly NodeId[];
  /** Whether every holder but the master maps frames of its own, by the first, a middle and the last page. */
  readonly ownText: boolean;
  readonly ownRodata: boolean;
  /** Whether all holders map the same frames of rodata, and read the same bytes of text. */
  readonly sameRodata: boolean;
  readonly equalText: boolean;
  /** Frames taken for copies, on all nodes. */
  readonly copyFrames: number;
}

/** The image by pages, as a CPU's node sees it. */
interface ImageSeen {
  readonly frames: Float64Array;
  readonly flags: Uint8Array;
  /** Times each frame had been written. */
  readonly versions: Float64Array;
  /** A word of each page in place of its bytes; of text and rodata, which nothing writes meanwhile, none. */
  readonly words: Float64Array;
}

/** What can only be seen while booting, recorded at the end of each step and judged later. */
export class BootWitness {
  /** Each step that was done, in order. */
  readonly steps: StepSeen[] = [];
  /** Roots given out before there were any of their own. */
  readonly earlyRoots: { readonly step: BootStep; readonly node: NodeId; readonly root: Frame }[] = [];
  /** Tables on each holder's way to the window right after they were cloned. */
  readonly tablesAfterClone = new Map<NodeId, number>();
  /** What the booting CPU saw change at the step that must change nothing. */
  readonly changeByReplication: string[] = [];
  /** Times each page of rodata had been written when it was made read-only. */
  rodataVersions: number[] = [];
  private before: ImageSeen | undefined;

  /** Adds itself to the boot's steps. Call before the first. */
  static of(kernel: Watched): BootWitness {
    const witness = new BootWitness(kernel);
    for (const step of BOOT_STEPS.slice(0, BOOT_STEPS.indexOf("numa-replicate-kernel"))) {
      kernel.boot.during(step, () => {
        for (const node of kernel.machine.nodes)
          witness.earlyRoots.push({ step, node, root: kernel.view.kernelRoot(node) });
        return "";
      });
    }
    kernel.boot.during("mm-core-init", () => {
      witness.before = witness.look();
      return "";
    });
    kernel.boot.during("numa-replicate-kernel", () => {
      witness.afterClone();
      return "";
    });
    kernel.boot.during("mark-rodata-ro", () => {
      witness.rodataVersions = witness.versions();
      return "";
    });
    for (const step of BOOT_STEPS)
      kernel.boot.during(step, () => {
        witness.steps.push(witness.see(step));
        return "";
      });
    return witness;
  }

  private readonly constant: readonly { readonly first: number; readonly end: number }[];

  private constructor(private readonly kernel: Watched) {
    const { image } = kernel;
    const page = (address: bigint): number => pagesBetween(image.stext, address).pages;
    this.constant = [
      { first: 0, end: page(image.etext) },
      { first: page(image.startRodata), end: page(image.endRodata) },
    ];
  }

  /** Whether an address is a CPU's TSS page in the direct map, the one part of a unit user mode maps. */
  isTaskState(address: bigint): boolean {
    const units: CpuUnits = this.kernel.boot.units;
    for (const unit of units.values()) if (address === directAddress(this.kernel.layout, unit + 6)) return true;
    return false;
  }

  private see(step: BootStep): StepSeen {
    const { view, image, allocator, machine, entries } = this.kernel;
    const others = view.holders.filter((node) => node !== view.master);
    const frames = (node: NodeId, ranges: readonly PageRange[]): (Frame | undefined)[] =>
      ranges.flatMap(({ start, pages }) =>
        [0, pages >> 1, pages - 1].map((page) => view.replicaFrame(start + BigInt(page) * PAGE, node)),
      );
    const whole = (part: AddressRange): PageRange[] => [imageRange(this.kernel.layout, part)];
    // Asked through the roots, as a CPU would: before there is anything to look at, nothing is anyone's own.
    const part = (ranges: readonly PageRange[]): { own: boolean; same: boolean; equal: boolean } => {
      const wanted = frames(view.master, ranges);
      const found = others.map((node) => frames(node, ranges));
      const each = (fits: (frame: Frame | undefined, first: Frame | undefined) => boolean): boolean =>
        found.every((mine) => mine.every((frame, at) => fits(frame, wanted[at])));
      return {
        own: others.length > 0 && each((frame, first) => frame !== undefined && frame !== first),
        same: each((frame, first) => frame === first),
        equal: each(
          (frame, first) => frame !== undefined && first !== undefined && entries.memory.equalFrames(frame, first),
        ),
      };
    };
    const text = part(view.copies.textRanges ?? whole({ start: image.stext, end: image.etext }));
    const rodata = part(whole({ start: image.startRodata, end: image.endRodata }));
    return {
      step,
      holders: [...view.holders],
      ownText: text.own,
      ownRodata: rodata.own,
      sameRodata: rodata.same,
      equalText: text.equal,
      copyFrames: machine.nodes.reduce(
        (sum, node) => sum + allocator.usedFrames(node, "text") + allocator.usedFrames(node, "rodata"),
        0,
      ),
    };
  }

  private versions(): number[] {
    const { image, layout, entries } = this.kernel;
    const first = imageFrame(layout, image.stext, image.startRodata);
    return Array.from({ length: pagesBetween(image.startRodata, image.endRodata).pages }, (_, page) =>
      entries.memory.version(first + page),
    );
  }

  /** The image as the booting CPU's node sees it. */
  private look(): ImageSeen {
    const { image, layout, entries, machine, options, view } = this.kernel;
    const pages = pagesBetween(image.stext, image.end).pages;
    const root = view.kernelRoot(machine.nodeOfCpu(options.bootCpu));
    const found = new PageReader(entries.memory, layout).read(root, {
      start: imageAddress(layout, image.stext),
      pages,
    });
    return {
      ...found,
      versions: Float64Array.from(found.frames, (frame) => entries.memory.version(frame)),
      words: Float64Array.from(found.frames, (frame, page) =>
        this.isConstant(page) ? 0 : entries.memory.read32(frame, (page * 7) & 1023),
      ),
    };
  }

  /**
   * Text and rodata, by pages of the image. Their bytes are compared, not read: memory may not have asked for them yet.
   */
  private isConstant(page: number): boolean {
    return this.constant.some(({ first, end }) => page >= first && page < end);
  }

  /** Whether a page has the bytes it had, wherever it lies now. */
  private hasItsBytes(page: number, before: ImageSeen, after: ImageSeen): boolean {
    const { memory } = this.kernel.entries;
    if (!this.isConstant(page)) return after.words[page] === before.words[page];
    const [was, is] = [before.frames[page]!, after.frames[page]!];
    return memory.version(was) === before.versions[page] && memory.equalFrames(was, is);
  }

  private afterClone(): void {
    const { view, image, layout } = this.kernel;
    const boot = bootRoot(layout, image);
    for (const node of view.holders) {
      const root = view.kernelRoot(node);
      if (root !== boot) this.tablesAfterClone.set(node, this.countPath(root));
    }
    const { before } = this;
    if (!before) return;
    const after = this.look();
    after.flags.forEach((flags, page) => {
      if (flags !== before.flags[page] || !this.hasItsBytes(page, before, after)) {
        this.changeByReplication.push(
          `page ${page} of the image has other ${flags !== before.flags[page] ? "flags" : "bytes"} on the booting CPU's node than before`,
        );
      }
    });
  }

  /** Tables from a root to the PMD pages of the window, the root included. */
  private countPath(root: Frame): number {
    const { entries, layout } = this.kernel;
    let count = 1;
    const window = pagesBetween(layout.kernelMap, 1n << 64n);
    walkTables<Frame>(layout.levels, window, root, (table, level, index) => {
      const lo = entries.low(table, index);
      if (level <= 2 || !isPresent(lo) || isLeaf(lo, level)) return undefined;
      count++;
      return level > 3 ? frameOf(lo, entries.high(table, index)) : undefined;
    });
    return count;
  }
}
