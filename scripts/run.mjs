/**
 * Does all set-up, then the main job or the tests: what `npm start` and `npm test` call. Needs only Node and npm.
 *
 *   node scripts/run.mjs start [COMMAND] [OPTIONS]   the kreplica command; `compare` when none is named
 *   node scripts/run.mjs test [TURBO OPTIONS]        every package's tests
 *   node scripts/run.mjs turbo TASK...               any turbo task (`.ci/run` uses it)
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
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

const under = (folder) => !existsSync(join(root, folder)) ? [] : readdirSync(join(root, folder)).sort().flatMap((name) => {
  const file = `${folder}/${name}`;
  return statSync(join(root, file)).isDirectory() ? under(file) : [file];
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
// One package at a time: each test runner uses both cores by itself, and two at once would disturb what is timed.
if (job === "test") process.exit(withPnpm(["turbo", "run", "test", "--concurrency=1", "--continue", "--output-logs=new-only", ...rest]));
process.exit(withPnpm(["turbo", "run", ...rest]));
