/**
 * The kernel's dump format: every line a real kernel printed is printed again the same; the booted tables read as such
 * a dump.
 */
import { recordedGuest } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { boot } from "../src/boot.js";
import { ptdump, ptdumpLine } from "../src/report/ptdump.js";

/** From a 6.1 kernel's /sys/kernel/debug/page_tables/kernel: one of each shape. */
const PRINTED = [
  "0x0000000000000000-0xffff880000000000    16777096T                               pgd",
  "0xffff880000000000-0xffff888000000000         512G                               pgd",
  "0xffff888000000000-0xffff888000099000         612K     RW                     NX pte",
  "0xffff88800009a000-0xffff88800009b000           4K     ro                     x  pte",
  "0xffff888000600000-0xffff888001000000          10M     RW         PSE         NX pmd",
  "0xffffffff81600000-0xffffffff81800000           2M     ro         PSE     GLB x  pmd",
  "0xffffffff81802000-0xffffffff81a00000        2040K                               pte",
  "0xffffffffff5fc000-0xffffffffff5fe000           8K     RW PWT PCD             NX pte",
  "0xffffffffff800000-0x0000000000000000           8M                               pmd",
];

test.each(PRINTED)("%s", (line) => {
  const [, start, end, rest] = /^0x(\w+)-0x(\w+) +\d+[KMGT] (.*)$/.exec(line)!;
  const to = BigInt(`0x${end!}`);
  expect(
    ptdumpLine({ start: BigInt(`0x${start!}`), end: to === 0n ? 1n << 64n : to }, rest!.slice(0, 30), rest!.slice(30)),
  ).toBe(line);
});

describe("booted tables", () => {
  const kernel = boot({ spec: recordedGuest, policy: "per-node", alignment: "recorded" });
  const dump = (node: number): string[] => ptdump(kernel.machine.memory, kernel.view.kernelRoot(node), kernel.layout);

  test("sections in order, ends that meet, the image as recorded", () => {
    const lines = dump(0);
    expect(lines.filter((line) => line.startsWith("---["))).toEqual(
      [
        "User Space",
        "Kernel Space",
        "Low Kernel Mapping",
        "vmalloc() Area",
        "Vmemmap",
        "CPU entry Area",
        "High Kernel Mapping",
        "Modules",
        "End Modules",
        "Fixmap Area",
      ].map((name) => `---[ ${name} ]---`),
    );
    const runs = lines.filter((line) => line.startsWith("0x")).map((line) => line.slice(0, 37).split("-"));
    for (let index = 1; index < runs.length; index++) expect(runs[index]![0]).toBe(runs[index - 1]![1]);
    expect(lines).toContain("0xffffffff81000000-0xffffffff81e00000          14M     ro         PSE     GLB x  pmd");
    expect(lines).toContain("0xffffffff81e02000-0xffffffff82000000        2040K     RW                 GLB NX pte");
    expect(lines).toContain("0xffffffff82000000-0xffffffff82800000           8M     ro         PSE     GLB NX pmd");
  });

  test("two nodes say the same: only frames differ, and a dump shows none", () => {
    expect(dump(1)).toEqual(dump(0));
  });

  test("5 levels and KPTI dump as well", () => {
    const five = boot({ spec: { ...recordedGuest, virtualBits: 57 }, policy: "per-node", levels: 5, pti: true });
    const lines = ptdump(five.machine.memory, five.view.kernelRoot(1), five.layout);
    expect(lines.some((line) => line.endsWith("p4d"))).toBe(true);
    expect(lines.at(-1)).toMatch(/-0x0000000000000000 /);
  });
});
