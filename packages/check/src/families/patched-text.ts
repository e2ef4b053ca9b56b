/**
 * Code that checked kernels run and patch, laid into the small image's text while it boots: a loop over sites of every
 * kind.
 *
 *   LOOP   seven times: a site of 5 bytes, inc rax, 3 bytes of padding that do nothing; the fifth site crosses a page
 *          jmp LOOP
 *   LEAF   inc rcx; ret          OTHER  inc rdx; ret
 */
import type { KernelImage } from "@kreplica/mm-core";
import { branch32, CALL, JMP32, type JumpLabelSite, nops, type StaticCallSite } from "@kreplica/text-patch";

const STRIDE = 11n;
const SITES = 7;

export interface PatchedText {
  readonly sites: readonly bigint[];
  readonly loop: bigint;
  readonly leaf: bigint;
  readonly other: bigint;
  /** First byte behind the loop. */
  readonly end: bigint;
  readonly jumpLabels: readonly JumpLabelSite[];
  readonly staticCalls: readonly StaticCallSite[];
  readonly ftrace: readonly bigint[];
  /** Instructions a probe may sit on: the increments behind sites. */
  readonly probes: readonly bigint[];
  /** The padding behind one site, for a debugger. */
  readonly breakpoints: readonly bigint[];
}

/** Keys are names here: nothing lies behind them. */
export const KEY = 0x10n,
  CALL_KEY = 0x20n;

/** @param offset what KASLR adds to linked addresses */
export function patchedText(image: KernelImage, offset = 0n): PatchedText {
  const loop = image.stext + offset + 0x4fd0n;
  const sites = Array.from({ length: SITES }, (_, i) => loop + BigInt(i) * STRIDE);
  const leaf = image.stext + offset + 0x6000n;
  const label = (i: number, branch: boolean): JumpLabelSite => ({
    address: sites[i]!,
    target: sites[i]! + 8n,
    key: KEY,
    branch,
    init: false,
  });
  return {
    sites,
    loop,
    leaf,
    other: leaf + 0x40n,
    end: loop + BigInt(SITES) * STRIDE + 5n,
    jumpLabels: [label(0, false), label(1, true), label(4, false)],
    staticCalls: [
      { address: sites[2]!, key: CALL_KEY, tail: false, init: false },
      { address: sites[5]!, key: CALL_KEY, tail: false, init: false },
    ],
    ftrace: [sites[3]!, sites[6]!],
    probes: [sites[1]! + 5n, sites[4]! + 5n],
    breakpoints: [sites[2]! + 8n],
  };
}

/** Code of the loop and the functions, as (address, bytes): written before there are copies. */
export function patchedCode(text: PatchedText): readonly (readonly [bigint, Uint8Array])[] {
  const { loop, sites, leaf, other } = text;
  const jumps = new Set(text.jumpLabels.filter(({ branch }) => branch).map(({ address }) => address));
  const body = sites.flatMap((site) => [
    ...(jumps.has(site) ? branch32(JMP32, site, site + 8n) : nops(5)),
    0x48,
    0xff,
    0xc0,
    0x66,
    0x90,
    0x90,
  ]);
  return [
    [loop, Uint8Array.of(...body, ...branch32(JMP32, loop + BigInt(body.length), loop))],
    [leaf, Uint8Array.of(0x48, 0xff, 0xc1, 0xc3)],
    [other, Uint8Array.of(0x48, 0xff, 0xc2, 0xc3)],
  ];
}

/** What the static calls aim at once copies exist: written by early patching between replication and mark_rodata_ro. */
export const lateCode = (text: PatchedText): readonly (readonly [bigint, Uint8Array])[] =>
  text.staticCalls.map(({ address }) => [address, branch32(CALL, address, text.leaf)]);
