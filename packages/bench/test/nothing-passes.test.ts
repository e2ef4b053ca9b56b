/// <reference types="node" />
/**
 * Nothing to do, a name that matches nothing, an input with a hole: exit code 2 and a remedy; and one bad item does not
 * hide the good ones.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzstd } from "@kreplica/inputs/zstd";
import { missingTables, readPages, readSymbolList } from "@kreplica/kernel-files";
import { dataFile } from "@kreplica/recordings";
import { afterAll, describe, expect, test } from "vitest";
import { readRecordedTables } from "../src/inputs/recorded-tables.js";
import { debianKernel } from "./debian-kernel.js";
import { storedZstd } from "./fixtures/zstd-stored.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-nothing-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const kernel = debianKernel();

describe("tables --from", () => {
  const shipped = readRecordedTables(dataFile("tables/p4"));
  const records = unzstd(readFileSync(dataFile("tables/p4/ptpages.bin.zst")));
  const without = (name: string, frame: number): string => {
    const directory = join(folder, name);
    mkdirSync(directory);
    const view = new DataView(records.buffer, records.byteOffset);
    const kept = Array.from({ length: records.length / 4104 }, (_, i) => 4104 * i).filter(
      (at) => view.getBigUint64(at, true) !== BigInt(frame) << 12n,
    );
    expect(kept).toHaveLength(records.length / 4104 - 1);
    writeFileSync(
      join(directory, "ptpages.bin.zst"),
      storedZstd(Buffer.concat(kept.map((at) => records.subarray(at, at + 4104)))),
    );
    writeFileSync(join(directory, "registers.txt"), readFileSync(dataFile("tables/p4/registers.txt")));
    return directory;
  };
  const root = shipped.roots[2]!;

  test("the recordings that ship have every page", () => {
    for (const guest of ["p4", "hsw"]) {
      const tables = readRecordedTables(dataFile(`tables/${guest}`));
      for (const each of tables.roots) expect(missingTables(tables, each)).toEqual([]);
    }
  });

  test("CR3's page missing: nothing to list", async () => {
    const { code, out, error } = await invoke(["tables", "--from", without("no-root", root.root), "--cpu", "2"]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(
      /no-root: CR3 of CPU 2: the page it names, 0x[0-9a-f]+, is not among the 130 recorded: nothing can be listed\. Record it again/,
    );
  });

  test("a table missing: the rest is listed, the hole named", async () => {
    const whole = await invoke(["tables", "--from", "p4", "--cpu", "2"]);
    // The table that the first present entry leads to.
    const { memory } = shipped;
    const first =
      Array.from({ length: 512 }, (_, i) => memory.read32(root.root, 2 * i)).find((lo) => (lo & 1) !== 0)! >>> 12;
    const { code, out, error } = await invoke(["tables", "--from", without("no-table", first), "--cpu", "2"]);
    expect(code).toBe(2);
    expect(out.length).toBeGreaterThan(0);
    expect(out.length).toBeLessThan(whole.out.length);
    expect(error).toMatch(
      /no-table: tables of CPU 2: 1 of their pages is not among the 130 recorded \(0x[0-9a-f]+\); what they map is not in the list/,
    );
    expect(missingTables(readPages("x", records.subarray(0, 0)), root)).toEqual([{ frame: root.root, level: 5 }]);
  });

  test("a name that neither exists nor ships gets a suggestion", async () => {
    expect((await invoke(["tables", "--from", "hws"])).error).toBe(
      "kreplica: hws: --from: neither a directory nor tables that ship. Did you mean hsw?\n",
    );
  });
});

describe.skipIf(kernel === undefined)("modules", () => {
  const said = async (...words: string[]): Promise<string> => {
    const { code, out, error } = await invoke(["modules", "--kernel", kernel!, ...words]);
    expect([words, code, out]).toEqual([words, 2, ""]);
    return error;
  };
  test("an empty folder, nothing named, names that match nothing", async () => {
    mkdirSync(join(folder, "empty"));
    expect(await said("--modules", join(folder, "empty"), "--all")).toMatch(/empty: --modules: holds no module\. Give/);
    for (const words of [[], ["--load", ""], ["--load", ","]])
      expect(await said(...words)).toMatch(/--load: nothing to load/);
    expect(await said("--load", "xsf")).toMatch(/--load: there is no module xsf in the folder\. Did you mean xfs\?/);
    expect(await said("--load", "xfs", "--replicate", "nosuch")).toMatch(
      /--replicate: no module "nosuch" is loaded\. Choose from libcrc32c, xfs, or write all or none\./,
    );
    expect(await said("--load", "xfs", "--replicate", "libcrc32c,xsf")).toMatch(
      /no module "xsf" is loaded\. Did you mean xfs\?/,
    );
  });
});

test("compare: a test that is none gets a suggestion", async () => {
  expect((await invoke(["compare", "--test", "fork1"])).error).toBe(
    'kreplica: --test: no recording is of "fork1". Did you mean fork-1?\n',
  );
});

test("Debian's placeholder for a System.map says what to do instead; a line that is wrong is quoted in full", () => {
  const stub = "ffffffffffffffff B The real System.map is in the linux-image-6.1.0-50-amd64-dbg package\n";
  expect(() => readSymbolList(stub, "System.map")).toThrow(
    "System.map:1: Debian's placeholder for a System.map: the real one is in the package linux-image-6.1.0-50-amd64-dbg. Leave the option out: the image's own kallsyms are used",
  );
  expect(() => readSymbolList(`${stub.replace("real", "true")}`, "System.map")).toThrow("-dbg package");
});

describe.skipIf(spawnSync("clang", ["--version"]).status !== 0)("bpf: a good and a bad program", () => {
  const object = (name: string, code: string): string => {
    writeFileSync(
      join(folder, `${name}.c`),
      `#define SEC(x) __attribute__((section(x), used))\n${code}\nchar terms[] SEC("license") = "GPL";\n`,
    );
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", `${name}.c`, "-o", `${name}.o`], { cwd: folder });
    return join(folder, `${name}.o`);
  };
  const good = 'SEC("socket") int filter(void *c) { return 7; }';
  const bad = 'SEC("socket") int bad(void *c) { return *(int *)(c + 4000); }';

  test("both are reported; a refusal is a check that does not hold", async () => {
    const both = await invoke(["bpf", object("both", `${good}\n${bad}`), "--machine", "tiny-2-node"]);
    expect([both.code, both.error]).toEqual([1, ""]);
    expect(both.out).toMatch(/filter \(socket\): accepted/);
    expect(both.out.replace(/\s+/g, " ")).toMatch(
      /refused by the verifier bad verify-context-access: instruction 0 \(\S*both\.c:3: .*\): invalid bpf_context access/,
    );
    const json = await invoke(["bpf", join(folder, "both.o"), "--machine", "tiny-2-node", "--json"]);
    const { runs, refused } = JSON.parse(json.out) as {
      runs: { programs: { name: string }[] }[];
      refused: { name: string; reason: string }[];
    };
    expect([json.code, runs[0]!.programs.map((each) => each.name), refused.map((each) => each.name)]).toEqual([
      1,
      ["filter"],
      ["bad"],
    ]);
  });

  test("only bad ones: reported, nothing runs; only good ones: 0; a name that is none: 2 and a suggestion", async () => {
    const { code, out } = await invoke(["bpf", object("bad", bad)]);
    expect([code, out]).toEqual([1, expect.stringContaining("refused by the verifier")]);
    expect((await invoke(["bpf", object("good", good), "--machine", "tiny-2-node"])).code).toBe(0);
    expect(await invoke(["bpf", join(folder, "good.o"), "--program", "fitler"])).toEqual({
      code: 2,
      out: "",
      error: 'kreplica: --program: the object has no program "fitler". Did you mean filter?\n',
    });
  });
});

test.skipIf(spawnSync("clang", ["--version"]).status !== 0).each(["", ","])(
  "bpf --program %j names no program: nothing is run, and that is refused",
  async (names) => {
    const [source, object] = [join(folder, "one.c"), join(folder, "one.o")];
    writeFileSync(source, '__attribute__((section("socket"), used)) int filter(void *context) { return 7; }\n');
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", source, "-o", object]);
    const { code, out, error } = await invoke(["bpf", object, "--program", names]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toContain("--program: names no program. Choose from filter, or leave it out for all");
  },
);

test.skipIf(process.platform !== "linux")("a device has no end: it is refused before it is read", async () => {
  for (const words of [
    ["check", "--replay", "/dev/zero"],
    ["compare", "--reported", "/dev/zero"],
    ["boot", "--kernel", "/dev/zero"],
  ]) {
    const { code, out, error } = await invoke(words);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toContain("/dev/zero: a device, not a file");
  }
});

test("check names as many kinds of kernel as it booted", async () => {
  const { out } = await invoke(["check", "--runs", "1", "--steps", "1"]);
  expect(out).toMatch(/^per-node: 1 run, 1 operation on 1 kind of kernel: nothing found/);
});
