/**
 * Where the kernel puts things in its half of the address space, with 4 or 5 levels, with or without KASLR.
 *
 * Source: Documentation/arch/x86/x86_64/mm.rst; randomisation after arch/x86/mm/kaslr.c (regions keep their order, each
 * base is moved by whole PUDs) and boot/compressed/kaslr.c (image by whole 2 MiB).
 */
import {
  PAGE,
  frameOfAddress,
  physicalPageOf,
  addressOfFrame,
  type AddressRange,
  alignUp,
  HUGE,
  LARGE,
  type PageRange,
  pagesBetween,
  tableIndex,
} from "@kreplica/hw-x86/api";
import { MmError } from "../errors.js";
import { shadowRange } from "./kasan-range.js";
import type { KernelLayout } from "./kernel-layout-api.js";
import { seededRandom } from "../random.js";

/** Size of the window the image may be linked or moved in, with CONFIG_RANDOMIZE_BASE: modules begin behind it. */
const KERNEL_IMAGE_BYTES = 0x4000_0000n;
const TERABYTE = 1n << 40n;
/**
 * Physical memory a kernel of so many levels can use, bytes: its direct map is made for no more.
 * @source arch/x86/include/asm/sparsemem.h MAX_PHYSMEM_BITS
 */
export const MOST_MEMORY = { 4: 1n << 46n, 5: 1n << 52n } as const;

/** Fixed by the architecture code, the same at 4 and 5 levels. */
export const FIXED = {
  cpuEntryArea: 0xffff_fe00_0000_0000n,
  espfix: 0xffff_ff00_0000_0000n,
  kernelMap: 0xffff_ffff_8000_0000n,
  modulesStart: 0xffff_ffff_8000_0000n + KERNEL_IMAGE_BYTES,
  modulesEnd: 0xffff_ffff_ff00_0000n,
  /** First byte of the PMD that fixmap's lowest page lies in. */
  fixmapStart: 0xffff_ffff_ff20_0000n,
} as const;

const BASES = {
  4: {
    pageOffset: 0xffff_8880_0000_0000n,
    vmallocStart: 0xffff_c900_0000_0000n,
    vmemmapStart: 0xffff_ea00_0000_0000n,
    vmallocBytes: 32n * TERABYTE,
  },
  5: {
    pageOffset: 0xff11_0000_0000_0000n,
    vmallocStart: 0xffa0_0000_0000_0000n,
    vmemmapStart: 0xffd4_0000_0000_0000n,
    vmallocBytes: 12800n * TERABYTE,
  },
} as const;

/** Physical bytes [start, end). */
export interface PhysicalRun {
  readonly start: bigint;
  readonly end: bigint;
}

/** What {@link kernelLayout} needs to know. */
export interface LayoutOptions {
  readonly levels: 4 | 5;
  readonly pti: boolean;
  /** Physical address of _text without KASLR. */
  readonly imagePhysical: bigint;
  /** Bytes from _text to _end. */
  readonly imageBytes: bigint;
  /** First byte behind the machine's memory. */
  readonly memoryEnd: bigint;
  /**
   * Free physical runs the image may be put in when randomised: each place on 2 MiB in any of them is as likely. Where
   * it fits none, it stays.
   */
  readonly physicalRuns?: readonly PhysicalRun[];
  readonly kaslrText?: boolean;
  readonly kaslrMemory?: boolean;
  /**
   * Leaves room for KASAN's shadow; without vmalloc: areas of vmalloc have none of their own (CONFIG_KASAN_VMALLOC is
   * not set).
   */
  readonly kasan?: boolean | "without vmalloc";
  readonly seed: number;
}

/**
 * @throws MmError bad-layout when the image is not on 2 MiB or does not fit, or memory does not fit the direct map
 */
export function kernelLayout(options: LayoutOptions): KernelLayout {
  const { levels, pti, imageBytes } = options;
  const bases = BASES[levels];
  const random = seededRandom(options.seed ^ 0x6b61736c);
  const fault = (address: bigint, why: string): never => {
    throw new MmError("bad-layout", address, why);
  };

  if (options.memoryEnd > MOST_MEMORY[levels])
    fault(
      options.memoryEnd,
      `memory does not fit the direct map: choose ${levels === 4 ? "5 levels, or " : ""}lower addresses`,
    );
  let imageOffset = 0n;
  let imagePhysical = options.imagePhysical;
  if (options.kaslrText) {
    const room = KERNEL_IMAGE_BYTES - 0x100_0000n - alignUp(imageBytes, LARGE);
    if (room < 0n)
      fault(imageBytes, "the image is larger than the 1 GiB it may be moved in; switch KASLR for text off");
    imageOffset = LARGE * BigInt(random(Number(room / LARGE) + 1));
    imagePhysical = drawPlace(options.physicalRuns ?? [], imageBytes, random) ?? imagePhysical;
  }
  if (imagePhysical % LARGE !== 0n) fault(imagePhysical, "the image must start on 2 MiB of physical memory");

  // Linux: kaslr_memory_enabled() is false in a kernel with KASAN, whose compiler knows where the shadow of each region
  // is.
  if (options.kasan && options.kaslrMemory)
    fault(
      0n,
      "KASAN's shadow is at an address the compiler knows, so that memory regions cannot be moved; switch KASLR for memory off",
    );
  let { pageOffset, vmallocStart, vmemmapStart }: { pageOffset: bigint; vmallocStart: bigint; vmemmapStart: bigint } =
    bases;
  if (options.kaslrMemory) {
    // 10 TiB of padding for memory that is plugged in later, as CONFIG_RANDOMIZE_MEMORY_PHYSICAL_PADDING has it.
    const direct = alignUp(options.memoryEnd, TERABYTE) + 10n * TERABYTE;
    // Descriptors for all of it: kernel_randomize_memory of 6.5 counts them in whole terabytes as well.
    const descriptors = alignUp((direct / PAGE) * BigInt(DESCRIPTOR_BYTES), TERABYTE);
    const regions = [direct, bases.vmallocBytes, descriptors];
    let spare = FIXED.cpuEntryArea - pageOffset - regions.reduce((sum, bytes) => sum + bytes, 0n);
    let at = pageOffset;
    const moved = regions.map((bytes, index) => {
      const share = spare / BigInt(regions.length - index);
      const entropy = HUGE * BigInt(random(Number(share / HUGE) + 1));
      spare -= entropy;
      const base = at + entropy;
      at = alignUp(base + bytes + 1n, HUGE);
      return base;
    });
    [pageOffset, vmallocStart, vmemmapStart] = moved as [bigint, bigint, bigint];
  }
  return {
    levels,
    pti,
    imageOffset,
    imagePhysical,
    pageOffset,
    vmallocStart,
    vmemmapStart,
    vmallocEnd: vmallocStart + bases.vmallocBytes - 1n,
    ...FIXED,
    kernelBoundary: tableIndex(pageOffset, levels),
    ...(options.kasan ? { kasan: { ...shadowRange(levels), vmalloc: options.kasan !== "without vmalloc" } } : {}),
  };
}

/**
 * One of all places on 2 MiB at which an image fits whole into a run.
 * @source arch/x86/boot/compressed/kaslr.c: slots are counted over all of memory, and one of them drawn
 */
function drawPlace(runs: readonly PhysicalRun[], bytes: bigint, random: (below: number) => number): bigint | undefined {
  const places = runs.map(({ start, end }) => {
    const first = alignUp(start, LARGE);
    return { first, count: end - first < bytes ? 0 : Number((end - first - bytes) / LARGE) + 1 };
  });
  const all = places.reduce((sum, { count }) => sum + count, 0);
  if (all === 0) return undefined;
  let drawn = random(all);
  for (const { first, count } of places) {
    if (drawn < count) return first + LARGE * BigInt(drawn);
    drawn -= count;
  }
  return undefined;
}

/** Virtual address an image address has in this layout. @param linked as in System.map */
export const imageAddress = (layout: KernelLayout, linked: bigint): bigint => linked + layout.imageOffset;

/** Pages of the image where this layout has them. @param range as in System.map, its start on a page */
export const imageRange = (layout: KernelLayout, range: AddressRange): PageRange =>
  pagesBetween(imageAddress(layout, range.start), imageAddress(layout, range.end));

/**
 * Frame of the booted image behind a linked image address: __pa_symbol, arithmetic and therefore the master's on every
 * node.
 * @param stext where the image is linked to start
 */
export const imageFrame = (layout: KernelLayout, stext: bigint, linked: bigint): number =>
  frameOfAddress(layout.imagePhysical + (linked - stext));

/** Bytes of a page descriptor. @source Documentation/mm/physical_memory.rst */
export const DESCRIPTOR_BYTES = 64;

/** Address of a frame's descriptor in vmemmap: what virt_to_page gives for the frame's address. */
export const descriptorAddress = (layout: KernelLayout, frame: number): bigint =>
  layout.vmemmapStart + BigInt(physicalPageOf(frame) * DESCRIPTOR_BYTES);

/** Address of a frame in the direct map: __va. */
export const directAddress = (layout: KernelLayout, frame: number): bigint => layout.pageOffset + addressOfFrame(frame);
