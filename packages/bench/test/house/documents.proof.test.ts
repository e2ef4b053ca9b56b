/// <reference types="node" />
/**
 * Every `kreplica` command that a help or a document shows is run as it stands there; what stands for a reader's own
 * file is put in its place. A command without what it needs on this host (a compiler, a kernel's package) says so and
 * is skipped.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { invokeBuilt } from "../cli.js";
import { commands, root, words } from "./documents.js";

const kernel = ((): ReturnType<typeof fetchKernel> | undefined => {
  try {
    return fetchKernel();
  } catch (error) {
    console.error(`without a kernel's package: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
})();
const haveClang = spawnSync("clang", ["--version"]).status === 0;

const folder = mkdtempSync(join(tmpdir(), "kreplica-documents-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What `lscpu` says of two sockets of two cores. */
const LSCPU = `Architecture: x86_64
On-line CPU(s) list: 0-7
Vendor ID: GenuineIntel
CPU family: 6
Model: 63
Thread(s) per core: 2
Core(s) per socket: 2
Socket(s): 2
L1d cache: 128 KiB (4 instances)
L2 cache: 1 MiB (4 instances)
L3 cache: 60 MiB (2 instances)
NUMA node0 CPU(s): 0,1,4,5
NUMA node1 CPU(s): 2,3,6,7
`;
/** What `strace -cf` wrote of a program. */
const STRACE = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           6       100           openat
 40.00    0.000400           4       100         2 close
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           5       200         2 total
`;
/** A reader's folder: what the examples name lies in it. */
beforeAll(async () => {
  cpSync(join(root, "packages/bench/test/fixtures/machine/haswell-2s.numactl.txt"), join(folder, "box.txt"));
  symlinkSync(dataFile("traces"), join(folder, "recordings"));
  cpSync(join(root, "packages/bench/test/fixtures/machine/haswell-2s.mlc.txt"), join(folder, "mlc.txt"));
  writeFileSync(join(folder, "lscpu.txt"), LSCPU);
  writeFileSync(join(folder, "strace.txt"), STRACE);
  const page = readFileSync(join(root, "docs/own-plugins.md"), "utf8");
  writeFileSync(join(folder, "odd.mjs"), /```js\n([^]*?)```/.exec(page)![1]!);
  writeFileSync(
    join(folder, "plan.yaml"),
    /```yaml\n([^]*?)```/.exec(readFileSync(join(root, "docs/sweeps.md"), "utf8"))![1]!,
  );
  for (const nth of [1, 2])
    await invokeBuilt(["sweep", "plan.yaml", "--shard", `${nth}/2`, "-o", `part${nth}`], { cwd: folder });
  writeFileSync(join(folder, "packet.bin"), new Uint8Array(64).fill(9));
  writeFileSync(
    join(folder, "figures.json"),
    JSON.stringify({ source: "the reader", machine: "e5-2690v3-2s", figures: [{ test: "mount", hot: 1, cold: 5 }] }),
  );
  writeFileSync(join(folder, "mine.json"), (await invokeBuilt(["machine", "e5-2690v3-2s", "--json"])).out);
  if (haveClang) {
    writeFileSync(
      join(folder, "filter.c"),
      '__attribute__((section("socket"), used)) int filter(void *context) { return 7; }\n',
    );
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", "filter.c", "-o", "filter.o"], { cwd: folder });
  }
  if (!kernel) return;
  for (const name of ["vmlinuz", `vmlinuz-${kernel.abi}`]) symlinkSync(kernel.vmlinuz, join(folder, name));
  symlinkSync(join(kernel.dir, "boot"), join(folder, "boot"));
  symlinkSync(join(kernel.dir, "lib"), join(folder, "lib"));
  for (const [file, name] of [
    ["a.ko", "fat"],
    ["b.ko", "isofs"],
  ] as const) {
    const [found] = execFileSync("find", [kernel.modules, "-name", `${name}.ko`], { encoding: "utf8" }).split("\n");
    if (found) symlinkSync(found, join(folder, file));
  }
});

const helps = await Promise.all(
  ["compare", "sweep", "boot", "tables", "check", "policies", "bpf", "machine", "modules", "patch"].map(
    async (name) => (await invokeBuilt(["help", name], { env: { COLUMNS: "200" } })).out,
  ),
);
const shown = helps.flatMap((help) =>
  (help.split("\nExamples:\n")[1] ?? "")
    .split("\n\n")[0]!
    .split("\n")
    .map((line) => /^ {2}((?:.*; )?kreplica .*?)(?: {2,}.*)?$/.exec(line)?.[1])
    .filter((line) => line !== undefined),
);
/** Commands on files that no host has: their own tests run them. */
const ELSEWHERE = new Map<string, string>([
  ["compare --traces recordings/ --recorded-kernel System.map", "test/compare/recorded-kernel.test.ts"],
  // Measures for half a minute, or walks millions of lines.
  ["probe", "test/probe.proof.test.ts"],
  ["probe -o machine.json", "test/probe.proof.test.ts"],
  ["probe --json", "test/probe.proof.test.ts"],
  ["probe --check cells.json", "test/probe.test.ts"],
  ["probe --check emerald-rapids", "test/probe.test.ts"],
  // Goes through some thousand schedules.
  ["check --schedules --nodes 2 --levels 4 --pti off", "../check/test/schedules.proof.test.ts"],
  // Serves until it is interrupted.
  ["explore", "test/explore-command.test.ts"],
  // The shell knows what part* is; as many variables as a scheduler sets.
  ["sweep merge part* -o whole", "test/sweep/crash.proof.test.ts"],
  [
    'sweep plan.yaml --shard "$SLURM_ARRAY_TASK_ID/8" --workers "${SLURM_CPUS_PER_TASK:-1}" --output "parts/$SLURM_ARRAY_TASK_ID"',
    "test/sweep/crash.proof.test.ts",
  ],
  ["sweep merge parts/* --output whole", "test/sweep/crash.proof.test.ts"],
  // With a Redis.
  ...[
    "sweep plan.yaml --queue redis://queue.example",
    'sweep plan.yaml --queue "$QUEUE" --output gathered',
    'worker --queue "$QUEUE" --jobs "${SLURM_CPUS_PER_TASK:-1}" --idle 60',
  ].map((each) => [each, "test/queue/queue.proof.test.ts"] as const),
]);
/** Words of each command, once; ABI and file names of a reader's own replaced by what there is here. */
const all = [
  ...new Set([...shown.map((line) => line.slice(line.indexOf("kreplica "))), ...commands().map(({ text }) => text)]),
]
  .map((text) => words(text))
  .filter((each) => each !== undefined)
  .filter((each) => !ELSEWHERE.has(each.join(" ")))
  // Placeholders: what a reader chooses stands in capitals.
  .filter((each) => each.length > 0 && !each.some((word) => /^[A-Z]+(\.\w+)?$/.test(word)))
  .map((each) =>
    each.map((word) =>
      word.replace(/^\/boot\/vmlinuz$/, "vmlinuz").replace(/6\.1\.0-\d+-cloud-amd64/, kernel?.abi ?? "?"),
    ),
  );

const needs = (each: readonly string[]): string | undefined =>
  each.some((word) => /vmlinuz|lib\/modules|\.ko$/.test(word)) && !kernel
    ? "a kernel's package"
    : each.includes("filter.o") && !haveClang
      ? "clang"
      : undefined;
/** Runs of a campaign, where a command would do more. */
const RUNS = "6";
/**
 * The same command with less to do where that is a matter of counts alone: seven tests on each of ten kernels, and
 * millions of operations, are what `.ci/run`'s main job and the proofs of `check` do.
 */
function lighter(each: readonly string[]): readonly string[] {
  const counted = each.some((word) => ["--test", "--runs", "--schedules", "--replay", "--measure"].includes(word));
  // A reader's kernel lies beside its modules; here it is a link to one.
  if (each[0] === "modules" && !each.includes("--modules") && !each.some((word) => word.startsWith("boot/")))
    return [...each, "--modules", join("lib/modules", kernel?.abi ?? "")];
  // A run of 1024 calls on eight machines: two minutes.
  if (each[0] === "map") return each.map((word) => (word === "fork-1024" ? "mount" : word));
  // Which policy does better is asked by other proofs: two thirds of a short comparison's time.
  if (each[0] === "compare" && !each.some((word) => word === "--policies" || word === "--no-policies"))
    each = [...each, "--no-policies"];
  if (["compare", "report", "export"].includes(each[0]!) && !each.includes("--test"))
    return [...each, "--test", "mount"];
  if (each[0] === "policies" && each.includes("--compare")) return [...each, "--test", "mount"];
  // All tests on nine machines and many layouts take minutes: tests that are named stay, and one is named where none
  // is.
  if (each[0] === "explain") {
    const named = each.length > 1 && !each[1]!.startsWith("-");
    const few = each.map((word, i) => (each[i - 1] === "--layouts" ? "1" : word));
    return [...few, ...(named ? [] : ["mount"]), ...(each.includes("--layouts") ? [] : ["--layouts", "0"])];
  }
  // The same on a machine whose kernels boot at once; the default figure is map.proof.test.ts's.
  if ((each[0] === "map" || each.includes("--explain")) && !each.includes("--machine"))
    return [...each, "--machine", "tiny-2-node"];
  if (each[0] === "check")
    return counted ? each.map((word, i) => (each[i - 1] === "--runs" ? RUNS : word)) : [...each, "--runs", RUNS];
  return each;
}
/** What a command is shown to find: the series as posted does not hold, nor a kernel with a bug of the museum. */
const expected = (each: readonly string[]): number =>
  each[0] === "check" && each.some((word) => word === "rfc-v1" || word === "--defect" || word === "--bug") ? 1 : 0;

test("the helps and documents show commands", () => {
  expect(all.length).toBeGreaterThan(30);
});

describe.each(all.map((each) => [each.join(" "), each] as const))("kreplica %s", (_, each) => {
  test.skipIf(needs(each))(
    "runs",
    async () => {
      const { code, error } = await invokeBuilt(lighter(each), { cwd: folder });
      expect([code, error.split("\n").slice(0, 3).join("\n")]).toEqual([expected(each), expect.any(String)]);
      expect(error).not.toContain("a fault in kreplica itself");
    },
    1_200_000,
  );
});

test("what the examples name was laid out, and tests named for others are there", () => {
  expect(existsSync(join(folder, "mine.json"))).toBe(true);
  for (const file of ELSEWHERE.values()) expect(existsSync(join(root, "packages/bench", file))).toBe(true);
});
