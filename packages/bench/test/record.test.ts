/// <reference types="node" />
/** What `kreplica record` makes of a machine and of a folder before QEMU is started, and what it refuses. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { e52690v3, presets } from "@kreplica/machines";
import { afterAll, describe, expect, test } from "vitest";
import { guestNodes } from "../src/inputs/guest-nodes.js";
import { guestOf, machineArguments, nodesText, plainGuest } from "../src/record/guest-machine.js";
import { guestRoot } from "../src/record/guest-root.js";
import { rootArchive } from "../src/record/root-archive.js";
import { recordTools } from "../src/record/tools.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-record-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

/** A header of a program, static or not. */
const program = (dynamic: boolean): Buffer => {
  const bytes = Buffer.alloc(120);
  bytes.write("\x7fELF\x02", "latin1");
  bytes.writeUInt16LE(62, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(dynamic ? 3 : 1, 64);
  return bytes;
};
writeFileSync(at("static"), program(false));
writeFileSync(at("dynamic"), program(true));
writeFileSync(at("vmlinuz"), Buffer.concat([Buffer.alloc(0x202), Buffer.from("HdrS")]));

describe("the guest", () => {
  test("two nodes, as the shipped recordings were made; in one block, and in a block each", () => {
    const own = (blocks: boolean): string => machineArguments(plainGuest, blocks).join(" ");
    const distances = "-numa dist,src=0,dst=1,val=21 -numa dist,src=1,dst=0,val=21";
    expect(own(false)).toBe(
      `-machine pc-i440fx-5.0 -smp 4 -m 1024M -numa node,nodeid=0,mem=512M,cpus=0-1 -numa node,nodeid=1,mem=512M,cpus=2-3 ${distances}`,
    );
    expect(own(true)).toBe(
      `-machine pc -smp 4 -m 1024M -object memory-backend-ram,id=node0,size=512M -numa node,nodeid=0,memdev=node0,cpus=0-1 -object memory-backend-ram,id=node1,size=512M -numa node,nodeid=1,memdev=node1,cpus=2-3 ${distances}`,
    );
  });

  test("every preset has its nodes and distances in it, below the hole for devices, and compare reads its nodes", () => {
    for (const machine of presets) {
      const guest = guestOf(machine);
      expect(guest.nodes.length).toBe(machine.nodes.length);
      expect(guest.distance).toBe(machine.distance);
      expect(guest.nodes.reduce((sum, { mebibytes }) => sum + mebibytes, 0)).toBeLessThanOrEqual(2816);
      guest.nodes.forEach(({ mebibytes }, i) => expect(mebibytes > 0).toBe(machine.nodes[i]!.memoryBytes > 0));
      const last = guest.nodes.findLast(({ cpus }) => cpus.length > 0)!;
      expect(guest.cpu).toBe(last.cpus[0]);
      writeFileSync(at("numa.txt"), nodesText(guest));
      expect(guestNodes(undefined, at("x.kt")).map(({ cpus, pages }) => [cpus, pages / 256])).toEqual(
        guest.nodes.map(({ cpus, mebibytes }) => [cpus, mebibytes]),
      );
    }
    rmSync(at("numa.txt"));
  });

  test("without memory on its first node there is none", () => {
    const [first, ...more] = e52690v3.nodes;
    expect(() => guestOf({ ...e52690v3, nodes: [{ ...first!, memoryBytes: 0 }, ...more] })).toThrow(
      /--machine: .*first node has no memory/,
    );
  });
});

describe("its root file system", () => {
  const request = (command: readonly string[], more = {}): ReturnType<typeof guestRoot> =>
    guestRoot({ init: at("static"), command, ...more });

  test("holds the program, its words, and a true of ours", () => {
    const files = new Map(request([at("static"), "a b", ""]).map((file) => [file.path, file]));
    expect(files.get("bin/static")).toMatchObject({ kind: "file", executable: true });
    expect(Buffer.from(files.get("kreplica/command")!.bytes!).toString()).toBe("/bin/static\0a b\0\0");
    expect(Buffer.from(files.get("bin/true")!.bytes!).toString()).toBe("/init");
  });

  test("a program that needs libraries, and what is none, are refused", () => {
    expect(() => request([at("dynamic")])).toThrow(/dynamic: --run: needs shared libraries\. Link it with -static/);
    expect(() => request([at("vmlinuz")])).toThrow(/vmlinuz: --run: is no x86-64 program/);
    expect(() => request([at("nothing")])).toThrow(/nothing: --run: does not exist/);
  });

  test("of a folder all is there, the program is its own, and modules are numbered in order of their paths", () => {
    mkdirSync(at("root/usr/bin"), { recursive: true });
    writeFileSync(at("root/usr/bin/sh"), program(true), { mode: 0o755 });
    symlinkSync("sh", at("root/usr/bin/ash"));
    mkdirSync(at("modules/a"), { recursive: true });
    writeFileSync(at("modules/b.ko"), "second");
    writeFileSync(at("modules/a/z.ko"), "first");
    const all = request(["sh", "-c", "true"], { root: at("root"), modules: at("modules") });
    const files = new Map(all.map((file) => [file.path, file]));
    expect(files.get("usr/bin/sh")).toMatchObject({ kind: "file", executable: true });
    expect(files.get("usr/bin/ash")).toMatchObject({ kind: "link" });
    expect(Buffer.from(files.get("kreplica/command")!.bytes!).toString()).toBe("sh\0-c\0true\0");
    expect([0, 1].map((i) => Buffer.from(files.get(`kreplica/modules/${i}.ko`)!.bytes!).toString())).toEqual([
      "first",
      "second",
    ]);
    expect(() => request([at("static")], { modules: at("root") })).toThrow(/--modules: holds no \.ko file/);
  });

  test("links are kept and not followed, in a folder of modules neither; one that leads to itself is told", () => {
    mkdirSync(at("linked/kernel"), { recursive: true });
    writeFileSync(at("linked/kernel/a.ko"), "a");
    symlinkSync("..", at("linked/kernel/up"));
    symlinkSync("nothing", at("linked/kernel/dangling"));
    symlinkSync("/loop", at("linked/loop"));
    const all = request([at("static")], { root: at("linked"), modules: at("linked") });
    const links = all.filter(({ kind, path }) => kind === "link" && !path.startsWith("bin/"));
    expect(links.map(({ path, bytes }) => [path, Buffer.from(bytes!).toString()])).toEqual([
      ["kernel/dangling", "nothing"],
      ["kernel/up", ".."],
      ["loop", "/loop"],
    ]);
    expect(all.filter(({ path }) => path.endsWith(".ko")).map(({ path }) => path)).toEqual([
      "kernel/a.ko",
      "kreplica/modules/0.ko",
    ]);
    symlinkSync("round", at("linked/kernel/about"));
    symlinkSync("about", at("linked/kernel/round"));
    expect(() => request([at("static")], { root: at("linked") })).toThrow(
      /linked\/kernel\/about: --root: is a link to round, which leads back to it\. Remove it/,
    );
  });

  test.skipIf(spawnSync("cpio", ["--version"]).status !== 0)("cpio lists it as it was meant", () => {
    const archive = rootArchive([
      { path: "dev", kind: "folder" },
      { path: "dev/null", kind: "device", device: [1, 3] },
      { path: "odd", kind: "file", bytes: Buffer.from("12345"), executable: true },
      { path: "link", kind: "link", bytes: Buffer.from("odd") },
    ]);
    const listed = execFileSync("cpio", ["-tv", "--quiet", "--numeric-uid-gid"], { input: archive, encoding: "utf8" });
    const lines = listed
      .trim()
      .split("\n")
      .map((line) => line.replace(/\s+/g, " ").split(" "));
    expect(lines.map((words) => words[0])).toEqual(["drwxr-xr-x", "crw-rw-rw-", "-rwxr-xr-x", "lrwxrwxrwx"]);
    expect(lines[1]!.slice(4, 6)).toEqual(["1,", "3"]);
    expect(lines[2]![4]).toBe("5");
    expect(lines[3]!.slice(-3)).toEqual(["link", "->", "odd"]);
  });
});

describe("refused, before anything is there", () => {
  const run = ["--run", at("static")];
  test.each([
    [["--kernel", at("vmlinuz"), ...run], /^kreplica: --output: not given/],
    [[...run, "-o", at("x.kt")], /^kreplica: --kernel: not given/],
    [["--kernel", at("vmlinuz"), "-o", at("x.kt")], /^kreplica: --run: not given/],
    [["--kernel", at("static"), ...run, "-o", at("x.kt")], /static: --kernel: is no vmlinuz/],
    [["--kernel", at("none"), ...run, "-o", at("x.kt")], /none: --kernel: does not exist/],
    [["--kernel", at("vmlinuz"), "--initrd", at("static"), "-o", at("x.kt")], /static: --initrd: is no archive/],
    [["--kernel", at("vmlinuz"), "--run", "a 'b", "-o", at("x.kt")], /^kreplica: --run: a quote is not closed/],
    [["--kernel", at("vmlinuz"), "--run", " ", "-o", at("x.kt")], /^kreplica: --run: empty/],
    [["--kernel", at("vmlinuz"), ...run, "--iterations", "2", "-o", at("x.kt")], /--iterations: given without --rfc/],
  ])("%j", async (words, reason) => {
    const { code, out, error } = await invoke(["record", ...words]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(reason);
    expect(readdirSync(folder)).not.toContain("x.kt");
  });

  test("without QEMU its package is named", () => {
    const before = process.env["PATH"];
    process.env["PATH"] = at("nothing");
    try {
      expect(() => recordTools(at("cache"))).toThrow(
        /^qemu-system-x86_64: is not here, and a recording needs it\. Install the package qemu-system-x86\.$/,
      );
    } finally {
      process.env["PATH"] = before;
    }
  });
});
