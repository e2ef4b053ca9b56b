/**
 * The recorded guest: where its memory lies and what an address is. Facts of a recording, not of any modelled machine.
 */

/** What an address of the recorded kernel belongs to; also the index of a row in {@link regionNames}. */
export enum Region {
  User = 0,
  DirectMap = 1,
  Vmalloc = 2,
  Vmemmap = 3,
  CpuEntryArea = 4,
  Text = 5,
  Rodata = 6,
  Data = 7,
  Module = 8,
  Fixmap = 9,
  Other = 10,
}

/** Names as the recorded statistics spell them. */
export const regionNames = [
  "user",
  "directmap",
  "vmalloc",
  "vmemmap",
  "cpu_entry_area",
  "ktext",
  "krodata",
  "kdata",
  "module",
  "fixmap",
  "other",
] as const;

/** A node of a guest. Memory and CPUs may be missing. */
export interface GuestNode {
  /** First physical page, and how many: 4 KiB. */
  readonly firstPage: number;
  readonly pages: number;
  readonly cpus: readonly number[];
}

/** The parts of a kernel's image, addresses as linked, and where it lay. */
export interface GuestImage {
  readonly stext: bigint;
  readonly startRodata: bigint;
  /** First byte behind rodata's last large page: data from here on. */
  readonly startData: bigint;
  readonly end: bigint;
  /** Physical page of the first byte. */
  readonly firstPage: number;
  /** Text and rodata may be fetched from elsewhere: the kernel had copies. */
  readonly copied: boolean;
  /** Behind text and rodata, up to the next large page: its kernel gave these back, and they were anybody's. */
  readonly tails: readonly ImageTail[];
}

/** Whole pages of an image, addresses as linked: from `start` up to, not including, `end`. */
export interface ImageTail {
  readonly start: bigint;
  readonly end: bigint;
}

/** A recorded guest, without KASLR. */
export interface RecordedGuest {
  /** Its kernel, as errors name it. */
  readonly kernel: string;
  /** Of its page tables: they decide where its mappings are. */
  readonly levels: 4 | 5;
  readonly image: GuestImage;
  /** In order of their memory. */
  readonly nodes: readonly GuestNode[];
}

/**
 * Bases of the kernel's mappings, and where the direct map and vmalloc may end.
 * @source Documentation/arch/x86/x86_64/mm.rst
 */
export interface GuestMappings {
  readonly pageOffset: bigint;
  readonly directMapEnd: bigint;
  readonly vmallocStart: bigint;
  readonly vmallocEnd: bigint;
  readonly vmemmapStart: bigint;
  readonly vmemmapEnd: bigint;
  readonly userBits: number;
}
/** By levels of page tables. */
export const MAPPINGS: Readonly<Record<4 | 5, GuestMappings>> = {
  4: {
    pageOffset: 0xffff_8880_0000_0000n,
    directMapEnd: 0xffff_c880_0000_0000n,
    vmallocStart: 0xffff_c900_0000_0000n,
    vmallocEnd: 0xffff_e900_0000_0000n,
    vmemmapStart: 0xffff_ea00_0000_0000n,
    vmemmapEnd: 0xffff_eb00_0000_0000n,
    userBits: 47,
  },
  5: {
    pageOffset: 0xff11_0000_0000_0000n,
    directMapEnd: 0xff91_0000_0000_0000n,
    vmallocStart: 0xffa0_0000_0000_0000n,
    vmallocEnd: 0xffd2_0000_0000_0000n,
    vmemmapStart: 0xffd4_0000_0000_0000n,
    vmemmapEnd: 0xffd6_0000_0000_0000n,
    userBits: 56,
  },
};
/** The same at 4 and 5 levels. */
export const CPU_ENTRY_AREA = 0xffff_fe00_0000_0000n;
/** Of a page descriptor. */
export const DESCRIPTOR_BYTES = 64n;

/**
 * Debian's 6.1.0-56-cloud-amd64 (6.1.192-2) with nokaslr under QEMU, 2 nodes of 512 MiB, CPUs 0, 1 on node 0 and 2, 3
 * on node 1: the guest of the recordings that ship.
 * @source vmlinux-6.1.0-56-cloud-amd64.readelf.txt, System.map
 */
export const shippedGuest: RecordedGuest = {
  kernel: "Linux 6.1.0-56-cloud-amd64",
  levels: 4,
  image: {
    stext: 0xffff_ffff_8100_0000n,
    startRodata: 0xffff_ffff_8200_0000n,
    startData: 0xffff_ffff_82a0_0000n,
    end: 0xffff_ffff_8383_0000n,
    firstPage: 0x1000,
    copied: false,
    tails: [
      { start: 0xffff_ffff_81e0_2000n, end: 0xffff_ffff_8200_0000n },
      { start: 0xffff_ffff_8282_7000n, end: 0xffff_ffff_82a0_0000n },
    ],
  },
  nodes: [
    { firstPage: 0, pages: 0x2_0000, cpus: [0, 1] },
    { firstPage: 0x2_0000, pages: 0x2_0000, cpus: [2, 3] },
  ],
};

/** Index of the node that owns a physical page; -1 for none. */
export function guestNodeOfPage({ nodes }: RecordedGuest, page: number): number {
  for (let i = 0; i < nodes.length; i++)
    if (page >= nodes[i]!.firstPage && page < nodes[i]!.firstPage + nodes[i]!.pages) return i;
  return -1;
}
/** Index of the node a virtual CPU sits on; -1 for none. */
export const guestNodeOfCpu = ({ nodes }: RecordedGuest, vcpu: number): number =>
  nodes.findIndex((each) => each.cpus.includes(vcpu));
/** First physical page behind all of its memory. */
export const guestEnd = ({ nodes }: RecordedGuest): number =>
  Math.max(...nodes.map((each) => each.firstPage + each.pages));
/** In which tail of the image a physical page lies; -1 for none. */
export const tailOfPage = ({ image }: RecordedGuest, page: number): number => {
  const address = image.stext + (BigInt(page - image.firstPage) << 12n);
  return image.tails.findIndex(({ start, end }) => address >= start && address < end);
};
/** Pages of the image. */
export const imagePages = ({ stext, end }: Pick<GuestImage, "stext" | "end">): number =>
  Number((end - stext + 4095n) >> 12n);

const low = (address: bigint): number => Number(address & 0xffff_ffffn);
const high = (address: bigint): number => Number(address >> 32n);

/**
 * Region of an address, by its halves: modules from ffffffffa0000000, fixmap from ffffffffff000000.
 * @source Documentation/arch/x86/x86_64/mm.rst
 */
export function regionsOf({
  levels,
  image,
}: Pick<RecordedGuest, "levels" | "image">): (lo: number, hi: number) => Region {
  const { pageOffset, directMapEnd, vmallocStart, vmallocEnd, vmemmapStart, vmemmapEnd } = MAPPINGS[levels];
  const [text, rodata, data] = [low(image.stext), low(image.startRodata), low(image.startData)];
  const [direct, directEnd, vmalloc, vmallocTop, vmemmap, vmemmapTop] = [
    pageOffset,
    directMapEnd,
    vmallocStart,
    vmallocEnd,
    vmemmapStart,
    vmemmapEnd,
  ].map(high) as [number, number, number, number, number, number];
  return (lo, hi) => {
    if (hi < 0x8000_0000) return Region.User;
    if (hi === 0xffff_ffff) {
      if (lo < text) return Region.Other;
      if (lo < rodata) return Region.Text;
      if (lo < data) return Region.Rodata;
      if (lo < 0xa000_0000) return Region.Data;
      return lo < 0xff00_0000 ? Region.Module : Region.Fixmap;
    }
    if (hi >= direct && hi < directEnd) return Region.DirectMap;
    if (hi >= vmalloc && hi < vmallocTop) return Region.Vmalloc;
    if (hi >= vmemmap && hi < vmemmapTop) return Region.Vmemmap;
    if (hi >= 0xffff_fe00 && hi < 0xffff_fe80) return Region.CpuEntryArea;
    return Region.Other;
  };
}
