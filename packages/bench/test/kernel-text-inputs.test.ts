/** System.map and readelf's section table of the traced kernel, and what is wrong with an image without bounds. */
import { expect, test } from "vitest";
import { tracedKernel } from "../src/traced-kernel.js";

test("the traced kernel: parts where the recording has them", () => {
  const image = tracedKernel("recorded");
  const bytes = (kind: string): bigint =>
    image.sections
      .filter((section) => section.kind === kind)
      .reduce((sum, section) => sum + (section.end - section.start), 0n);
  expect(bytes("text")).toBe(14_687_986n);
  expect(image.sections.map((section) => section.kind)).toEqual([
    "text",
    ...Array<string>(13).fill("rodata"),
    ...Array<string>(6).fill("data"),
    ...Array<string>(11).fill("init"),
    "data",
    "data",
    "bss",
    "brk",
  ]);
  expect([image.endRodata.toString(16), image.end.toString(16)]).toEqual(["ffffffff82827000", "ffffffff83830000"]);
  expect(image.hasBytes).toBe(false);
  const filled = tracedKernel("patch-06");
  expect([filled.etext.toString(16), filled.endRodata.toString(16)]).toEqual(["ffffffff82000000", "ffffffff82a00000"]);
});

test("synthetic pages differ from one another and are the same every time", () => {
  const image = tracedKernel("recorded");
  const page = (address: bigint): string => {
    const into = new Uint8Array(4096);
    image.readPage(address, into);
    return Buffer.from(into).toString("hex");
  };
  expect(page(image.stext)).toBe(page(image.stext));
  expect(new Set(Array.from({ length: 200 }, (_, index) => page(image.stext + BigInt(index) * 4096n))).size).toBe(200);
});

test("an image without a bound, or with parts out of order, is refused by name", async () => {
  const { kernelImage } = await import("@kreplica/mm-core");
  const symbols = new Map([["_stext", 0xffff_ffff_8100_0000n]]);
  expect(() => kernelImage({ name: "x", sections: [], symbols, alignment: "recorded" })).toThrow(
    /bad-image.*no symbol _etext/,
  );
  const all = new Map(
    [
      "_stext",
      "_etext",
      "__start_rodata",
      "__end_rodata",
      "__init_begin",
      "__init_end",
      "__bss_start",
      "__brk_base",
      "_end",
    ].map((name, index) => [name, 0xffff_ffff_8100_0000n + 0x20_0000n * BigInt(index)]),
  );
  all.set("__bss_start", 0n);
  expect(() => kernelImage({ name: "x", sections: [], symbols: all, alignment: "recorded" })).toThrow(
    /bad-image: 0x0: x: text and rodata must start on 2 MiB/,
  );
});
