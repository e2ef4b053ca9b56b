/** Where KASAN's shadow lies: arithmetic that the layout and the builder of the shadow share. */

/** @source arch/x86/Kconfig KASAN_SHADOW_OFFSET */
const SHADOW_OFFSET = 0xdfff_fc00_0000_0000n;

/** Address of an address's shadow byte: one byte for eight. */
export const shadowOf = (address: bigint): bigint => BigInt.asUintN(64, (address >> 3n) + SHADOW_OFFSET);

/** First and last byte of the shadow. @source Documentation/arch/x86/x86_64/mm.rst */
export const shadowRange = (levels: 4 | 5): { readonly start: bigint; readonly end: bigint } => ({
  start: shadowOf(levels === 5 ? 0xff00_0000_0000_0000n : 0xffff_8000_0000_0000n),
  end: 0xffff_fbff_ffff_ffffn,
});
