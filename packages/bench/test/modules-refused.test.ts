/** What the report on modules says first of those that cannot be had. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tinyModule } from "@kreplica/modules";
import { afterAll, describe, expect, test } from "vitest";
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";
import { modulesText } from "../src/report/modules.js";
import { screenFor } from "../src/report/terminal.js";
import { invoke } from "./invoke.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-refused-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("the report", () => {
  const screen = screenFor({}, {});
  const refused = (names: readonly string[], code: "version" | "no-memory", reason: string) =>
    names.map((name) => ({ name, code, reason: `${name}: ${reason}` }));
  const none = { modules: [], milliseconds: 0 };
  const shown = (...parts: Partial<Parameters<typeof modulesText>[0]>[]): string =>
    modulesText(
      { heading: "H", unusable: [], runs: [], top: 20, hertz: 1e9, standing: "S", ...Object.assign({}, ...parts) },
      screen,
    );

  test("nothing loaded: the reasons and no table of zeros; modules of one reason together, every one named", () => {
    const names = Array.from({ length: 30 }, (_, nth) => `m${nth}`);
    const text = shown({
      runs: [
        {
          design: "ours",
          keepsBootTable: true,
          costs: {
            ...none,
            refused: [...refused(names, "version", "disagrees"), ...refused(["other"], "no-memory", "no room")],
          },
        },
      ],
    });
    expect(text.replace(/\s+/g, " ")).toBe(
      `H 31 refused by the kernel ${names.join(", ")}: disagrees other: no room Take kernel and modules from one package. `,
    );
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    expect(text).toMatch(/package\.\n$/);
  });

  test("no advice about packages where nothing is of another kernel; two designs that refuse the same say it once", () => {
    const run = (design: string, names: readonly string[]) => ({
      design,
      keepsBootTable: true,
      costs: { ...none, refused: refused(names, "no-memory", "no room") },
    });
    expect(shown({ runs: [run("ours", ["a"]), run("rfc-v1", ["a"])] })).toBe(
      "H\n\n1 refused by the kernel\n  a: no room\n",
    );
    expect(shown({ runs: [run("ours", []), run("rfc-v1", ["a"])] })).toBe(
      "H\n\n1 refused by the kernel under rfc-v1\n  a: no room\n",
    );
  });
});

const kernel = ((): { vmlinuz: string; modules: string; file: string } | undefined => {
  try {
    const { vmlinuz, modules } = fetchKernel() as { vmlinuz: string; modules: string };
    return { vmlinuz, modules, file: join(modules, "kernel/fs/fat/fat.ko") };
  } catch (error) {
    console.error(`SKIPPED, no kernel package: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
})();

describe.skipIf(!kernel)("with the kernel of the day", () => {
  const folder = join(root, "real");
  const good = (): void => {
    mkdirSync(folder, { recursive: true });
    copyFileSync(kernel!.file, join(folder, "fat.ko"));
    writeFileSync(join(folder, "bad.ko"), readFileSync(kernel!.file).subarray(0, 3000));
    // Read well, and refused by the kernel: it is of none.
    writeFileSync(join(folder, "stranger.ko"), tinyModule({ name: "stranger" }));
  };
  const run = async (...words: string[]) =>
    invoke(["modules", "--kernel", kernel!.vmlinuz, "--machine", "tiny-2-node", ...words]);

  test("a cut file, one of another kernel and a good one: reasons, then the table; exit code 2, and 1 without the cut one", async () => {
    good();
    const { code, out, error } = await run("--modules", folder, "--all");
    expect([code, error]).toEqual([
      2,
      "kreplica: --all: bad could not be loaded: its file, or what it needs, cannot be used. The report says why.\n",
    ]);
    expect(out.replace(/\s+/g, " ")).toMatch(
      /^3 modules on tiny-2-node, per-node 1 not loaded for want of a file that can be used \S*bad\.ko at byte \d+: .*again\. 1 refused by the kernel stranger: .*one package\. module text .* fat 4/,
    );
    const files = await run("--load", `${join(folder, "fat.ko")},${join(folder, "stranger.ko")}`);
    expect([files.code, files.error]).toEqual([1, ""]);
    expect(files.out).toMatch(/refused by the kernel\n {2}stranger: [^]*module +text/);
    expect((await run("--load", join(folder, "fat.ko"))).code).toBe(0);
  }, 120_000);

  test("a list with a cut file; and in the document", async () => {
    good();
    const { code, out } = await run("--load", `${join(folder, "bad.ko")},${join(folder, "fat.ko")}`, "--json");
    const { unusable, runs, cpu, node } = JSON.parse(out) as {
      unusable: { name: string; reason: string }[];
      runs: { modules: { name: string }[] }[];
      cpu: number;
      node: number;
    };
    expect([code, unusable.map(({ name }) => name), runs[0]!.modules.map(({ name }) => name)]).toEqual([
      2,
      ["bad"],
      ["fat"],
    ]);
    expect(unusable[0]!.reason).toMatch(/bad\.ko at byte \d+/);
    expect([cpu, node]).toEqual([2, 1]);
  }, 120_000);

  test("nothing but bad files: no report, every file", async () => {
    good();
    writeFileSync(join(folder, "rnd.ko"), "no module");
    const { code, out, error } = await run("--load", `${join(folder, "bad.ko")},${join(folder, "rnd.ko")}`);
    rmSync(join(folder, "rnd.ko"));
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(/^kreplica: \S*bad\.ko at byte .*\nkreplica: \S*rnd\.ko: is no kernel module/);
  }, 120_000);

  test("a module of another build: the reason, and no figure", async () => {
    good();
    const { code, out } = await run("--load", join(folder, "stranger.ko"));
    expect([code, out]).toEqual([
      1,
      expect.stringMatching(/^stranger on tiny-2-node, per-node\n\n1 refused by the kernel\n {2}stranger: /),
    ]);
    expect(out).not.toContain("all together");
  }, 120_000);

  test("which CPU the time is of, and which nodes it says nothing of", async () => {
    const { out } = await invoke([
      "modules",
      "--kernel",
      kernel!.vmlinuz,
      "--load",
      kernel!.file,
      "--machine",
      "xeon-8260-8s",
    ]);
    expect(out.replace(/\s+/g, " ")).toContain(
      "Modelled time is of CPU 12, which loads, on node 1, in the image's socket, 81.8 ns from it; on all other CPUs, of all of them together. It says nothing of other nodes, farthest first: the image's own, 76.8 ns: node 0 (--cpu 0); other socket, 133.8 to 200 ns: node 4 (--cpu 48),",
    );
  }, 120_000);
});
