/**
 * Does all set-up, then the main job or the tests: what `npm start` and `npm test` call. Needs only Node and npm.
 *
 *   node scripts/run.mjs start [COMMAND] [OPTIONS]   the kreplica command; `compare` when none is named
 *   node scripts/run.mjs test [TURBO OPTIONS]        every package's tests; at once when they passed and nothing has changed since, --force runs them all
 *   node scripts/run.mjs turbo TASK...               any turbo task (`.ci/run` uses it)
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (file) => readFileSync(join(root, file), "utf8");
// The version packageManager names: any other makes pnpm try to switch itself and fail on a signature check.
const pnpm = JSON.parse(read("package.json")).packageManager;
const environment = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", TURBO_NO_UPDATE_NOTIFIER: "1", npm_config_update_notifier: "false" };

/** Runs to the end; output of a quiet run is shown only when it fails. */
function run(command, args, { quiet = false } = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root, env: environment, encoding: "utf8", maxBuffer: 1 << 28, shell: process.platform === "win32",
    stdio: quiet ? ["ignore", "pipe", "pipe"] : "inherit",
  });
  if (quiet && status !== 0) process.stderr.write(`${stdout ?? ""}${stderr ?? ""}`);
  if (error) throw error;
  if (signal) process.exit(1);
  return status ?? 1;
}
const withPnpm = (args, options) => run("npx", ["--yes", pnpm, ...args], options);
const orExit = (status) => { if (status !== 0) process.exit(status); };
const say = (text) => { if (process.stderr.isTTY) process.stderr.write(`${text}\n`); };

const packages = readdirSync(join(root, "packages")).filter((name) => existsSync(join(root, "packages", name, "package.json"))).sort();

/** Digest of the files' names and contents. */
function digest(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update(readFileSync(join(root, file)));
  return hash.digest("hex");
}
const stampOf = (name) => join(root, "node_modules", `.kreplica-${name}`);
const stamped = (name, now) => existsSync(stampOf(name)) && readFileSync(stampOf(name), "utf8") === now;

function install() {
  const now = digest(["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json", ...packages.map((name) => `packages/${name}/package.json`)]);
  if (stamped("installed", now)) return;
  say("kreplica: installing");
  orExit(withPnpm(["install", "--frozen-lockfile", "--prefer-offline"], { quiet: true }));
  writeFileSync(stampOf("installed"), now);
}

/** Files below a folder, by name. @param passed names of files and folders that are passed over, at any depth */
const under = (folder, passed = []) => !existsSync(join(root, folder)) ? [] : readdirSync(join(root, folder)).sort().flatMap((name) => {
  if (passed.includes(name)) return [];
  const file = `${folder}/${name}`;
  return statSync(join(root, file)).isDirectory() ? under(file, passed) : [file];
});

/** Builds what changed. Turbo knows that too, but takes two seconds to say so; most calls find nothing changed at all. */
function build() {
  const sources = digest(["tsconfig.base.json", "tsup.shared.ts", "pnpm-lock.yaml", ...packages.flatMap((name) => [
    ...["package.json", "tsup.config.ts", "tsconfig.json"].map((file) => `packages/${name}/${file}`), ...under(`packages/${name}/src`)])].filter((file) => existsSync(join(root, file))));
  // What was built is part of the stamp: a dist that somebody removed or changed is built again. So is a source changed while building.
  const state = () => `${sources} ${digest(packages.flatMap((name) => under(`packages/${name}/dist`)))}`;
  if (stamped("built", state())) return;
  say("kreplica: building");
  orExit(withPnpm(["turbo", "run", "build", "--output-logs=errors-only"], { quiet: true }));
  writeFileSync(stampOf("built"), state());
}

/** What is made from the rest. */
const MADE = ["node_modules", "dist", ".git", ".turbo", ".reports", ".cache", ".micro-tmp"];
/** Programs that tests compare the model with, where they are there. */
const TOOLS = ["apt-get", "gcc", "readelf", "clang", "llvm-objdump", "zstd", "lz4", "xz", "qemu-system-x86_64", "script"];

/** Digest of all that a test's outcome depends on: every file of ours, what the host has to compare with, and the variables that choose. */
function testState() {
  const where = (tool) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, tool)).find((file) => existsSync(file));
  const tools = TOOLS.map((tool) => { const file = where(tool); return file ? `${file} ${statSync(file).mtimeMs}` : "-"; });
  const recorded = ["../shared/data/traces-full", ".cache/kernel"].map((folder) => (existsSync(join(root, folder)) ? readdirSync(join(root, folder)).sort().join() : "-"));
  const chosen = Object.keys(process.env).filter((name) => name.startsWith("KREPLICA_")).sort().map((name) => `${name}=${process.env[name]}`);
  return [digest(under(".", MADE)), process.version, ...tools, ...recorded, ...chosen].join("\n");
}

const [job, ...rest] = process.argv.slice(2);
if (job !== "start" && job !== "test" && job !== "turbo") {
  process.stderr.write("usage: node scripts/run.mjs start|test|turbo [arguments]\n");
  process.exit(2);
}
install();
if (job === "start") {
  build();
  const words = rest.length > 0 && !rest[0].startsWith("-") ? rest : rest.some((word) => ["--help", "-h", "--version", "-V"].includes(word)) ? rest : ["compare", ...rest];
  process.exit(run(process.execPath, [join(root, "packages/bench/dist/cli.js"), ...words]));
}
if (job === "test") {
  // CI's word is worth something because it never takes another's.
  const mayKnow = rest.length === 0 && !process.env.CI;
  const reported = packages.every((name) => existsSync(join(root, `packages/${name}/.reports/vitest.json`)));
  if (mayKnow && reported && stamped("tested", testState())) {
    process.stdout.write("All tests passed with these very files, tools and settings; npm test -- --force runs them again. From the runners' reports:\n");
    process.exit(run(process.execPath, [join(root, "scripts/count.mjs")]));
  }
  // One package at a time: each test runner uses both cores by itself, and two at once would disturb what is timed.
  const status = withPnpm(["turbo", "run", "test", "--concurrency=1", "--continue", "--output-logs=new-only", ...rest]);
  // Afterwards: tests fetch a kernel where there is none.
  if (mayKnow && status === 0) writeFileSync(stampOf("tested"), testState());
  process.exit(status);
}
process.exit(withPnpm(["turbo", "run", ...rest]));
