/// <reference types="node" />
/**
 * Which modules a command line means: the file it names, whatever the folder holds; folders beside kernels of old and
 * merged /usr.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wantedModules } from "../src/inputs/kernel-modules/wanted.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-wanted-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const put = (path: string, text = ""): string => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  return join(root, path);
};
const folder = join(root, "pkg/lib/modules/6.9.0-x");
beforeAll(() => {
  for (const name of ["fat", "vfat", "two-words"]) put(`pkg/lib/modules/6.9.0-x/kernel/fs/${name}.ko`);
  put(
    "pkg/lib/modules/6.9.0-x/modules.dep",
    "kernel/fs/vfat.ko: kernel/fs/fat.ko\nkernel/fs/fat.ko: kernel/fs/two-words.ko\n",
  );
  put("other/fat.ko");
  put("other/zfat.ko");
});
const wanted = (words: {
  load?: readonly string[];
  all?: boolean;
  modules?: string;
  kernel?: string;
  release?: string;
}) => wantedModules({ kernel: "/nowhere/vmlinuz", release: undefined, ...words });

describe("a file is the file", () => {
  test("beside a folder that has a module of its name, which is used for all else", () => {
    const { directory, wanted: names } = wanted({ modules: folder, load: [join(root, "other/fat.ko"), "vfat"] });
    expect(names).toEqual(["fat", "vfat"]);
    expect([directory.path("fat"), directory.path("vfat")]).toEqual([
      join(root, "other/fat.ko"),
      join(folder, "kernel/fs/vfat.ko"),
    ]);
    // What modules.dep says of the folder's is not said of the file.
    expect([directory.needs?.get("fat"), directory.needs?.get("vfat")]).toEqual([undefined, ["fat"]]);
  });

  test("of a name the folder lacks; and one without a path, where no such file is", () => {
    expect(wanted({ modules: folder, load: [join(root, "other/zfat.ko")] }).directory.path("zfat")).toBe(
      join(root, "other/zfat.ko"),
    );
    expect(wanted({ modules: folder, load: ["fat.ko", "two-words"] }).directory.path("two_words")).toBe(
      join(folder, "kernel/fs/two-words.ko"),
    );
    expect(() => wanted({ modules: folder, load: [join(root, "absent/fat.ko")] })).toThrow(
      /absent\/fat\.ko: there is no such file/,
    );
    expect(() => wanted({ modules: folder, load: ["fatt"] })).toThrow(
      /no module fatt in the folder\. Did you mean fat\?/,
    );
  });

  test("two of one module are refused, with or without a folder", () => {
    for (const modules of [folder, undefined]) {
      expect(() =>
        wanted({
          ...(modules ? { modules } : {}),
          load: [join(root, "other/fat.ko"), join(folder, "kernel/fs/fat.ko")],
        }),
      ).toThrow(/are both module fat\. Load one of them/);
    }
  });

  test("alone, without a folder", () => {
    const { directory, wanted: names } = wanted({ load: [join(root, "other/fat.ko")] });
    expect([names, directory.path("vfat")]).toEqual([["fat"], undefined]);
  });
});

describe("the folder beside the kernel", () => {
  test.each([
    ["lib/modules", "a/boot/vmlinuz-6.9.0-x", "a/lib/modules/6.9.0-x/kernel/m.ko", undefined],
    [
      "usr/lib/modules, as from Debian 13",
      "b/boot/vmlinuz-6.9.0-x",
      "b/usr/lib/modules/6.9.0-x/kernel/m.ko",
      undefined,
    ],
    [
      "the kernel's own folder",
      "c/usr/lib/modules/6.9.0-x/vmlinuz",
      "c/usr/lib/modules/6.9.0-x/kernel/m.ko",
      undefined,
    ],
    [
      "by the release in the kernel, where the file's name has none",
      "d/boot/vmlinuz",
      "d/lib/modules/6.9.0-x/kernel/m.ko",
      "6.9.0-x",
    ],
  ])("%s", (_what, kernel, module, release) => {
    put(kernel);
    put(module);
    expect(wanted({ kernel: join(root, kernel), all: true, ...(release ? { release } : {}) }).directory.path("m")).toBe(
      join(root, module),
    );
  });

  test("none: the places looked at are named", () => {
    expect(() => wanted({ kernel: put("e/boot/vmlinuz-6.9.0-x"), all: true })).toThrow(
      /neither .*e\/lib\/modules\/6\.9\.0-x nor .*e\/usr\/lib\/modules\/6\.9\.0-x is a folder/,
    );
    mkdirSync(join(root, "empty"));
    expect(() => wanted({ modules: join(root, "empty"), all: true })).toThrow(/holds no module/);
  });
});
