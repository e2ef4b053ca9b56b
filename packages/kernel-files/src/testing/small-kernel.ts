/**
 * Kernel files made for tests: a small kernel, and bzImages around an ELF image packed by whoever packs it.
 */

/** CRC-32 as a register left to right, bit by bit: not the table the product uses. */
function remainder(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  }
  return crc >>> 0;
}

/** Writes the checksum an image ends with. */
export function summed(image: Uint8Array): Uint8Array {
  new DataView(image.buffer).setUint32(image.length - 4, remainder(image.subarray(0, image.length - 4)), true);
  return image;
}

/**
 * A bzImage around a packed ELF image, laid out as boot.rst says.
 *
 * @param declared bytes of what was packed, written behind the payload; undefined for gzip, whose last word that is
 */
export function bzImageAround(packed: Uint8Array, declared: number | undefined): Uint8Array {
  const extra = declared === undefined ? 0 : 4;
  const image = new Uint8Array(1024 + Math.ceil((64 + packed.length + extra + 32) / 16) * 16);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, (image.length - 1024) / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x248, 64, true);
  view.setUint32(0x24c, packed.length + extra, true);
  image.set(packed, 1024 + 64);
  if (declared !== undefined) view.setUint32(1024 + 64 + packed.length, declared, true);
  return summed(image);
}

/** Where the length stands that a payload declares, its last four bytes. */
export const declaredAt = (image: Uint8Array): number =>
  1024 + 64 + new DataView(image.buffer).getUint32(0x24c, true) - 4;

/**
 * A kernel small enough to damage thousands of times: one segment of 16 KiB at 16 MiB, two sections, relocation lists.
 */
export function smallKernel(lists = [0, 0x8100_0010, 0, 0x8100_0104, 0, 0x8100_0200, 0x8100_0300]): Uint8Array {
  const names = "\0.text\0.shstrtab\0";
  const code = 0x1000;
  const sections = code + 0x4000 + 32;
  const bytes = new Uint8Array(sections + 3 * 64 + 4 * lists.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  for (const [at, value] of [
    [16, 2],
    [18, 62],
    [54, 56],
    [56, 1],
    [58, 64],
    [60, 3],
    [62, 2],
  ] as const)
    view.setUint16(at, value, true);
  view.setBigUint64(32, 64n, true);
  view.setBigUint64(40, BigInt(sections), true);
  view.setUint32(64, 1, true);
  view.setUint32(68, 5, true);
  [BigInt(code), 0xffff_ffff_8100_0000n, 0x100_0000n, 0x4000n, 0x5000n, 0x20_0000n].forEach((value, i) =>
    view.setBigUint64(72 + 8 * i, value, true),
  );
  for (let i = 0; i < 0x4000; i++) bytes[code + i] = (i * 7 + (i >> 5)) & 255;
  // Calls forwards and backwards, near and close behind one another: what xz's branch filter rewrites.
  for (let i = 0x400; i < 0x3000; i += 3 + (i % 11))
    bytes.set([0xe8 + (i & 1), i & 255, (i >> 4) & 255, i & 2 ? 0xff : 0, i & 2 ? 0xff : 0], code + i);
  const header = (i: number, values: readonly [number, number, bigint, bigint, number, number]): void => {
    const at = sections + 64 * i;
    view.setUint32(at, values[0], true);
    view.setUint32(at + 4, values[1], true);
    [values[2], values[3], BigInt(values[4]), BigInt(values[5])].forEach((value, n) =>
      view.setBigUint64(at + 8 + 8 * n, value, true),
    );
  };
  header(1, [1, 1, 6n, 0xffff_ffff_8100_0000n, code, 0x4000]);
  header(2, [7, 3, 0n, 0n, code + 0x4000, names.length]);
  bytes.set(new TextEncoder().encode(names), code + 0x4000);
  lists.forEach((value, i) => view.setUint32(sections + 192 + 4 * i, value, true));
  return bytes;
}
