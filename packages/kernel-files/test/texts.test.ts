/** System.map and readelf's section table: what they say, and what is wrong with broken ones. */
import { expect, test } from "vitest";
import { readSections, readSystemMap, textOf } from "../src/index.js";

test("a System.map gives the first address of each name; a section table what lies where, in order", () => {
  const map =
    "0000000000001000 A cpu_tss\nffffffff81000000 T _text\nffffffff81000040 t twice\nffffffff81000080 t twice\n";
  expect([...readSystemMap(new TextEncoder().encode(map), "System.map")]).toEqual([
    ["cpu_tss", 0x1000n],
    ["_text", 0xffff_ffff_8100_0000n],
    ["twice", 0xffff_ffff_8100_0040n],
  ]);
  const table = [
    "Section Headers:",
    "  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al",
    "  [ 0]                   NULL            0000000000000000 000000 000000 00      0   0  0",
    "  [ 1] .text             PROGBITS        ffffffff81000000 200000 e01f32 00  AX  0   0 4096",
    "  [ 2] .comment          PROGBITS        0000000000000000 300000 00001f 01  MS  0   0  1",
    "Key to Flags:",
    "  [ 3] nonsense",
  ].join("\n");
  expect(readSections(table, "vmlinux.txt")).toEqual([
    {
      name: ".text",
      address: 0xffff_ffff_8100_0000n,
      bytes: 0xe0_1f32n,
      writable: false,
      executable: true,
      occupies: true,
    },
    { name: ".comment", address: 0n, bytes: 0x1fn, writable: false, executable: false, occupies: false },
  ]);
});

test("a broken line is named", () => {
  expect(() => readSystemMap(new TextEncoder().encode("ffffffff81000000 T _text\nnonsense\n"), "System.map")).toThrow(
    /System\.map:2: not "ADDRESS TYPE NAME"/,
  );
  expect(() => readSections("Section Headers:\n  [ 1] .text PROGBITS ffffffff81000000 2000", "vmlinux.txt")).toThrow(
    /vmlinux\.txt:2: not a row of section headers.*Give the output of readelf -S -W/,
  );
  expect(() => readSections("nothing", "vmlinux.txt")).toThrow(/vmlinux\.txt: no section headers/);
  expect(() => textOf(Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 9, 9, 9]), "System.map.zst")).toThrow(
    /System\.map\.zst at byte 4: zstd/,
  );
});
