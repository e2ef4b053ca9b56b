/**
 * What is wrong with a module's file is said of the file: no module at all, cut, of another architecture, badly packed.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tinyModule } from "@kreplica/modules";
import { afterAll, expect, test } from "vitest";
import { beginInputs } from "../src/inputs/input-file.js";
import { moduleDirectory, moduleFiles } from "../src/inputs/kernel-modules/directory.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-modules-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const whole = tinyModule({ name: "a" });
const other = Uint8Array.from(whole, (byte, at) => (at === 18 ? 183 : byte));

test.each<[string, string, Uint8Array, RegExp]>([
  [
    "random bytes",
    "rnd",
    Uint8Array.of(1, 2, 0xab, 4, 5),
    /rnd: is no kernel module: it begins with 01 02 ab 04, not as an ELF file or one packed by xz or zstd/,
  ],
  [
    "random bytes called .ko",
    "rnd.ko",
    Uint8Array.of(1, 2, 0xab, 4, 5),
    /rnd\.ko: is no kernel module: it begins with 01 02 ab 04/,
  ],
  ["nothing", "empty.ko.xz", new Uint8Array(), /empty\.ko\.xz: is no kernel module: it is empty/],
  [
    "half a module",
    "cut.ko",
    whole.subarray(0, whole.length >> 1),
    /cut\.ko at byte \d+: .*fetch or build it again\.$/is,
  ],
  ["another architecture's", "arm.ko", other, /arm\.ko: .*machine 183.*give a module built for x86-64/is],
  [
    "a cut xz",
    "cut.ko.xz",
    Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4),
    /cut\.ko\.xz: cannot be unpacked \(xz\)/,
  ],
])("%s", async (_what, name, bytes, said) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  const files = moduleFiles([path]);
  const text = await files.read(files.names[0]!).then(
    () => "read",
    (error: unknown) => (error as Error).message,
  );
  expect(text.replace(/\s+/g, " ")).toMatch(said);
  expect(text).not.toMatch(/one package/);
});

test("what cannot be opened says so: a folder, a link that leads nowhere; a link to a module is one", async () => {
  const links = join(folder, "links");
  mkdirSync(join(links, "sub"), { recursive: true });
  writeFileSync(join(folder, "whole"), whole);
  symlinkSync(join(folder, "whole"), join(links, "a.ko"));
  symlinkSync(join(folder, "nowhere"), join(links, "gone.ko"));
  const found = moduleDirectory(links);
  expect(found.names).toEqual(["a", "gone"]);
  expect((await found.read("a")).name).toBe("a");
  await expect(found.read("gone")).rejects.toThrow(/gone\.ko: does not exist\. Give/);
  await expect(moduleFiles([join(links, "sub")]).read("sub")).rejects.toThrow(/sub: cannot be read \(EISDIR\)\. Give/);
});

test("of two modules of one name in a folder, modules.dep says which; where it does not, both are named", async () => {
  const root = join(folder, "twins");
  for (const part of ["kernel", "updates"]) {
    mkdirSync(join(root, part), { recursive: true });
    writeFileSync(join(root, part, "a.ko"), whole);
  }
  writeFileSync(join(root, "kernel/b.ko"), tinyModule({ name: "b" }));
  const twins = moduleDirectory(root);
  expect(twins.names).toEqual(["a", "b"]);
  await expect(twins.read("a")).rejects.toThrow(
    /twins\/kernel\/a\.ko: is one of two modules a, the other .*twins\/updates\/a\.ko, and no modules\.dep says which/,
  );
  expect((await twins.read("b")).name).toBe("b");
  writeFileSync(join(root, "modules.dep"), "updates/a.ko:\nkernel/b.ko:\n");
  const listed = moduleDirectory(root);
  expect(listed.path("a")).toBe(join(root, "updates/a.ko"));
  expect((await listed.read("a")).name).toBe("a");
  writeFileSync(join(root, "modules.dep"), "updates/a.ko:\nkernel/a.ko:\n");
  await expect(moduleDirectory(root).read("a")).rejects.toThrow(/one of two modules a/);
});

test("a pipe is read to its end, and waited for with a word", async () => {
  const pipe = join(folder, "pipe.ko");
  execFileSync("mkfifo", [pipe]);
  const said: string[] = [];
  // Nobody writes before the word was said, however slow this computer is.
  beginInputs((text) => {
    said.push(text);
    spawn("cp", [join(folder, "whole"), pipe]);
  });
  const files = moduleFiles([pipe]);
  expect(said).toEqual([`${pipe}: waiting for a writer`]);
  expect(files.names).toEqual(["pipe"]);
  expect((await files.read("pipe")).name).toBe("a");
});

test("a whole one is read, whatever its name", async () => {
  const path = join(folder, "module");
  writeFileSync(path, whole);
  const files = moduleFiles([path]);
  expect((await files.read(files.names[0]!)).name).toBe("a");
});
