/** Nodes of a recorded guest, in words and in files; every fault with its place. */
/// <reference types="node" />
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guestNodeOfCpu, guestNodeOfPage, shippedGuest } from "@kreplica/trace";
import { afterAll, expect, test } from "vitest";
import { guestNodes } from "../src/inputs/guest-nodes.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-guest-"));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const QEMU =
  "2 nodes\nnode 0 cpus: 0 1\nnode 0 size: 512 MB\nnode 0 plugged: 0 MB\nnode 1 cpus: 2 3\nnode 1 size: 512 MB\nnode 1 plugged: 0 MB\n";
const NUMACTL =
  "available: 2 nodes (0-1)\nnode 0 cpus: 0 1\nnode 0 size: 512 MB\nnode 0 free: 2 MB\nnode 1 cpus: 2 3\nnode 1 size: 512 MB\nnode 1 free: 3 MB\nnode distances:\nnode   0   1\n  0:  10  21\n  1:  21  10\n";

test("a word, QEMU's list and numactl's say the same; a file beside the recordings is found", () => {
  expect(guestNodes("0,1:512M/2-3:512M", folder)).toEqual(shippedGuest.nodes);
  expect(guestNodes(write("a.txt", QEMU), folder)).toEqual(shippedGuest.nodes);
  expect(guestNodes(write("b.txt", NUMACTL), folder)).toEqual(shippedGuest.nodes);
  mkdirSync(join(folder, "beside"));
  write("beside/numa.txt", QEMU);
  expect(guestNodes(undefined, join(folder, "beside"))).toEqual(shippedGuest.nodes);
  expect(guestNodes(undefined, join(folder, "beside/x.kt"))).toEqual(shippedGuest.nodes);
});

test("memory may begin elsewhere, and a node may have no CPU or no memory", () => {
  const nodes = guestNodes("0:1G/1:512M@0x100000000/:256M", folder);
  expect(nodes.map(({ firstPage, pages }) => [firstPage, pages])).toEqual([
    [0, 0x4_0000],
    [0x10_0000, 0x2_0000],
    [0x12_0000, 0x1_0000],
  ]);
  const guest = { ...shippedGuest, nodes };
  expect([0, 0x3_ffff, 0x4_0000, 0x10_0000, 0x12_0000, 0x13_0000].map((page) => guestNodeOfPage(guest, page))).toEqual([
    0, 0, -1, 1, 2, -1,
  ]);
  expect([0, 1, 2].map((cpu) => guestNodeOfCpu(guest, cpu))).toEqual([0, 1, -1]);
});

test.each<[string, string | undefined, RegExp]>([
  ["nothing said", undefined, /--recorded-nodes: the recordings do not say.*numa\.txt.*Write CPUS:SIZE/],
  ["no size", "0,1:512M/2,3:", /node 1: "2,3:" is not CPUS:SIZE/],
  ["a CPU twice", "0,1:512M/1:512M", /node 1: CPU 1 is in two nodes/],
  ["a CPU too many", "0-64:512M", /CPU 64 is beyond the 64/],
  ["memory that overlaps", "0:512M/1:512M@0x1000", /node 1: its memory cannot begin at 0x1000/],
  ["memory without end", "0:999999G", /beyond 16 TiB/],
  ["a file that is not there", "/nowhere", /\/nowhere: --recorded-nodes: does not exist/],
])("%s is refused", (_what, word, says) => expect(() => guestNodes(word, folder)).toThrow(says));

test("a file's lines are named", () => {
  expect(() => guestNodes(write("c.txt", QEMU.replace("node 1 size: 512 MB", "node 1 size: much")), folder)).toThrow(
    /c\.txt:6: node 1 size: "much"/,
  );
  expect(() => guestNodes(write("d.txt", QEMU.replace(/node 1 size.*\n/, "")), folder)).toThrow(
    /d\.txt:5: node 1: nothing says how much/,
  );
  expect(() => guestNodes(write("e.txt", "hello\n"), folder)).toThrow(/e\.txt:1: --recorded-nodes: no line says/);
});
