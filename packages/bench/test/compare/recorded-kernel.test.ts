/// <reference types="node" />
/**
 * What was recorded, named by a kernel file in place of its System.map: told apart by content, plain or packed,
 * whatever it is called.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSymbolList, textOf } from "@kreplica/kernel-files";
import { readRecordedKernel } from "../../src/inputs/replay-kernel.js";
import { vmlinuxOf } from "../fixtures/vmlinux.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { guestNodes } from "../../src/inputs/guest-nodes.js";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { storedZstd } from "../fixtures/zstd-stored.js";
import { invoke } from "../invoke.js";

const other = join(import.meta.dirname, "../fixtures/other-kernel");
const map = join(other, "System.map-on.zst");
const folder = mkdtempSync(join(tmpdir(), "kreplica-recorded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  const kernel = vmlinuxOf(readSymbolList(textOf(readFileSync(map), map), map));
  writeFileSync(at("vmlinux"), kernel);
  writeFileSync(at("vmlinux.zst"), storedZstd(kernel));
  writeFileSync(at("System.map.zst"), storedZstd(kernel));
  writeFileSync(at("twice.zst"), storedZstd(storedZstd(kernel)));
  writeFileSync(at("cut.zst"), storedZstd(kernel).subarray(0, 300_000));
  writeFileSync(at("symbols"), textOf(readFileSync(map), map));
});
const nodes = guestNodes(undefined, other);

test.each(["vmlinux", "vmlinux.zst", "System.map.zst", "symbols"])(
  "%s is read for what it holds, and says what the System.map says",
  async (name) => {
    const [given, wanted] = [
      await readRecordedKernel({ kernel: at(name), nodes }),
      await readRecordedKernel({ kernel: map, nodes }),
    ];
    expect(given.guest).toEqual({ ...wanted.guest, kernel: name });
    expect(given.symbols().length).toBe(wanted.symbols().length);
    for (const symbol of ["_stext", "init_top_pgt", "__init_begin", "vfs_read"])
      expect(given.image("recorded").symbol(symbol)).toBe(wanted.image("recorded").symbol(symbol));
  },
);

/** The command, on a recording of the series switched on. @param kernel that it is said to be of */
const comparedBy = (kernel: string): ReturnType<typeof invoke> =>
  invoke([
    ...["compare", "--no-pti", "--machine", "tiny-2-node", "--json"],
    ...["--traces", join(other, "on4-mount-cpu2.kt.zst"), "--recorded-kernel", kernel],
  ]);

test("a recording is replayed by it as by the System.map", async () => {
  const compared = async (kernel: string): Promise<unknown> => {
    const { code, out } = await comparedBy(kernel);
    expect(code).toBe(0);
    return (JSON.parse(out) as { tests: unknown }).tests;
  };
  expect(await compared(at("vmlinux.zst"))).toEqual(await compared(map));
}, 120_000);

test("packed twice, cut: refused, naming what is wrong", async () => {
  await expect(readRecordedKernel({ kernel: at("twice.zst"), nodes })).rejects.toThrow(
    /twice\.zst:1: not "ADDRESS TYPE NAME"/,
  );
  await expect(readRecordedKernel({ kernel: at("cut.zst"), nodes })).rejects.toThrow(
    /cut\.zst at byte \d+: zstd file: .*fetch or build it again/i,
  );
  await expect(readKernelFile(at("twice.zst"))).rejects.toThrow(
    /twice\.zst at byte 0 of what it unpacks to: header: packed with zstd once more/,
  );
});

test("--kernel takes it packed too, and a packed list of symbols beside a kernel", async () => {
  const plain = await readKernelFile(at("vmlinux"));
  for (const kernel of [await readKernelFile(at("vmlinux.zst")), await readKernelFile(at("vmlinux.zst"), map)]) {
    expect([kernel.packing, kernel.base, kernel.memory.length, kernel.sections]).toEqual([
      "zstd",
      plain.base,
      plain.memory.length,
      plain.sections,
    ]);
    expect(kernel.symbol("vfs_read")).toBe(plain.symbol("vfs_read"));
    expect(kernel.symbol("vfs_read")).toBeDefined();
  }
});

test("the System.map of another build is refused, though all addresses lie within its text", async () => {
  const { code, error } = await comparedBy(join(other, "System.map-off.zst"));
  expect(code).toBe(2);
  expect(error).toMatch(
    /System\.map-off\.zst: --recorded-kernel: not of the kernel that on4-mount-cpu2\.kt\.zst is of: of 3284 places that control came to, 1\.7 % are/,
  );
});
