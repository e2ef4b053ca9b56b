/**
 * Holds what every command prints to what it printed before: `node packages/bench/scripts/outputs.mjs FOLDER` keeps it,
 * one file a command; `outputs.mjs FOLDER --against OTHER` compares with what another build's run has kept, byte for
 * byte, and ends with 1 where a file differs. For work that must change no figure.
 *
 * The command is this tree's, built: `--cli FILE` names another. What a run itself takes (seconds, CPU time) is taken
 * out before anything is kept. Two kinds of input are the caller's: `--kernel FOLDER`, a kernel's package unpacked, and
 * `--bpf FILE`, an object; without them their commands are left out.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const bench = join(dirname(fileURLToPath(import.meta.url)), "..");
const recording = (name) => join(bench, "../recordings/data/traces", name);

/** What is asked: small machines and few steps, each way into the kernel once. */
const COMMANDS = [
  "boot",
  "boot --machine tiny-2-node --policy rfc-v1 --json",
  "boot --levels 5 --kasan --machine xeon-8480-2s --json",
  "boot --no-pti --policy single-copy --kaslr both --seed 7",
  "tables --machine tiny-2-node",
  "tables --machine tiny-2-node --json",
  "tables --machine tiny-2-node --node 1",
  "tables --node 1 --kasan --levels 5 --machine xeon-8480-2s",
  "tables --from p4 --cpu 2",
  "check --steps 100 --runs 4 --seed 7",
  "check --nodes 3 --levels 5 --steps 150 --runs 2 --seed 3 --json",
  "check --nodes 2 --levels 4 --pti on --steps 200 --runs 2 --seed 11 --compare step --json",
  "check --policy rfc-v1 --nodes 2 --runs 3 --seed 1 --json",
  "check --defect D4 --runs 4 --json",
  "check --policy text-only --nodes 2 --steps 100 --runs 2 --seed 5 --json",
  "check --bug mremap-flush --shortest --json",
  "compare -v --test kill fork-1",
  "compare --json --test kill mount",
  "compare --pti off --json --test kill",
  "compare --levels 5 --machine xeon-8480-2s --policy per-socket --json --test fork-1",
  "policies",
  "policies --measure --json",
  "policies --compare --test kill --policy per-node text-only lazy-pgd --json",
  "machine",
  "machine e5-2690v3-2s --json",
  "machine epyc-7713-2s",
  "modules --kernel KERNEL --modules MODULES --load xfs",
  "modules --kernel KERNEL --modules MODULES --load xfs,kvm_intel --rfc-v1 --json",
  "patch",
  "patch --site kprobe --machine xeon-8280-4s --changes 8 --json",
  "patch --site static_call --changes 8 --json",
  "patch --site ftrace --changes 8 --json",
  "bpf OBJECT --bpf both --json",
  "bpf OBJECT --verify-only",
  "bugs",
  "bugs --json",
  "explain kill --layouts 0 --json",
  "report --test kill --json",
  "report --test kill -o -",
  "export --test kill --format csv",
  "export --test kill --format collapsed",
  "trace info RECORDING",
  "trace info RECORDING --json",
  "trace check RECORDING",
  "schema",
];

/** Seconds a run took are the host's, and no figure. */
const settled = (text) =>
  text
    .replace(/"(cpuSeconds|seconds|milliseconds|elapsed\w*|took\w*)":\s*[\d.e+-]+/g, '"$1": 0')
    .replace(/\b\d[\d.,]* (s|ms|seconds|minutes)\b/g, "N $1");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(["against", "bpf", "cli", "kernel", "only"].map((name) => [name, { type: "string" }])),
});
const [folder] = positionals;
if (folder === undefined) {
  console.error(
    "outputs.mjs FOLDER [--against OTHER] [--cli FILE] [--kernel PACKAGE] [--bpf OBJECT] [--only WORD]: say where",
  );
  process.exit(2);
}
const cli = resolve(values.cli ?? join(bench, "dist/cli.js"));
if (!existsSync(cli)) {
  console.error(`${cli}: not there; build the command first, npm start does`);
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const under = (...names) => {
  const at = resolve(values.kernel ?? "", ...names);
  return values.kernel === undefined ? undefined : join(at, readdirSync(at).sort().at(-1));
};
const inputs = {
  RECORDING: recording("hsw-kill.kt.zst"),
  KERNEL:
    values.kernel &&
    resolve(
      values.kernel,
      "boot",
      readdirSync(join(values.kernel, "boot")).find((name) => name.startsWith("vmlinuz")),
    ),
  MODULES: under("lib/modules"),
  OBJECT: values.bpf && resolve(values.bpf),
};
let failed = 0;
let done = 0;
for (const command of COMMANDS) {
  if (values.only !== undefined && !command.includes(values.only)) continue;
  const words = command.split(" ").map((word) => (word in inputs ? inputs[word] : word));
  if (words.includes(undefined)) {
    console.log(`${command}: left out, its input is not given`);
    continue;
  }
  done++;
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...words], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // What a command writes beside what it prints lies there, too.
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", COLUMNS: "120" },
  });
  const name = `${command.replace(/[^\w.-]+/g, "_")}.txt`;
  const kept = settled(`exit code ${status}\n${stdout}${status === 0 || status === 1 ? "" : stderr}`);
  writeFileSync(join(folder, name), kept);
  if (status === 2 || status === 70 || status === null) {
    failed++;
    console.error(`${command}: ${stderr.split("\n")[0]}`);
  }
  if (values.against === undefined) continue;
  const before = readFileSync(join(values.against, name), "utf8");
  if (before === kept) continue;
  failed++;
  const [was, is] = [before.split("\n"), kept.split("\n")];
  const at = is.findIndex((line, index) => line !== was[index]);
  console.log(`${command}: line ${at + 1} was\n  ${was[at]?.slice(0, 300)}\nand is\n  ${is[at]?.slice(0, 300)}`);
}
console.log(`${done} commands, ${failed} that differ or did not run`);
process.exitCode = failed === 0 ? 0 : 1;
