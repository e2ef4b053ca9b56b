/**
 * The recorded guest: where its memory lies and what an address is. Facts of the recordings, not of any modelled machine.
 *
 * Debian's 6.1.0-56-cloud-amd64 (6.1.192-2) with nokaslr under QEMU, 2 nodes of 512 MiB, CPUs 0, 1 on node 0 and 2, 3 on node 1.
 */

/** What an address of the recorded kernel belongs to; also the index of a row in {@link regionNames}. */
export const enum Region { User = 0, DirectMap = 1, Vmalloc = 2, Vmemmap = 3, CpuEntryArea = 4, Text = 5, Rodata = 6, Data = 7, Module = 8, Fixmap = 9, Other = 10 }

/** Names as the recorded statistics spell them. */
export const regionNames = ["user", "directmap", "vmalloc", "vmemmap", "cpu_entry_area", "ktext", "krodata", "kdata", "module", "fixmap", "other"] as const;

/** First physical page of node 1: physical address 0x20000000. */
export const NODE_1_PAGE = 0x2_0000;
/** Physical pages of the guest: 1 GiB. */
export const GUEST_PAGES = 0x4_0000;
/** CPUs of the guest, by node. */
export const GUEST_CPUS_PER_NODE = 2;

/** Node of the recorded guest that owns a physical page. */
export const guestNodeOfPage = (page: number): 0 | 1 => (page < NODE_1_PAGE ? 0 : 1);
/** Node of the recorded guest a virtual CPU sits on. */
export const guestNodeOfCpu = (vcpu: number): 0 | 1 => (vcpu < GUEST_CPUS_PER_NODE ? 0 : 1);

/**
 * Region of an address, by its halves.
 *
 * Image borders: .text from ffffffff81000000, .rodata from ffffffff82000000 to below .data at ffffffff82a00000, image to
 * ffffffff83a00000, modules from ffffffffa0000000.
 * @source Documentation/arch/x86/x86_64/mm.rst; vmlinux-6.1.0-56-cloud-amd64.readelf.txt
 */
export function regionOf(lo: number, hi: number): Region {
  if (hi < 0x8000_0000) return Region.User;
  if (hi === 0xffff_ffff) {
    if (lo < 0x8100_0000) return Region.Other;
    if (lo < 0x8200_0000) return Region.Text;
    if (lo < 0x82a0_0000) return Region.Rodata;
    if (lo < 0xa000_0000) return Region.Data;
    return lo < 0xff00_0000 ? Region.Module : Region.Fixmap;
  }
  if (hi >= 0xffff_8880 && hi < 0xffff_c880) return Region.DirectMap;
  if (hi >= 0xffff_c900 && hi < 0xffff_e900) return Region.Vmalloc;
  if (hi >= 0xffff_ea00 && hi < 0xffff_eb00) return Region.Vmemmap;
  if (hi >= 0xffff_fe00 && hi < 0xffff_fe80) return Region.CpuEntryArea;
  return Region.Other;
}
