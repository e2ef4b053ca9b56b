/**
 * Does all set-up, then the main job or the tests: what `npm start` and `npm test` call. Needs only Node and npm.
 *
 *   node scripts/run.mjs start [COMMAND] [OPTIONS]   the kreplica command; `compare` when none is named
 *   node scripts/run.mjs site [FOLDER]              builds the explorer's site into packages/explorer/dist/site, or FOLDER
 *   node scripts/run.mjs test [--all] [TURBO OPTIONS]  every package's tests, with --all the long proofs too; at once when they passed and nothing has changed since, --force runs them
 *   node scripts/run.mjs turbo TASK...               any turbo task (`.ci/run` uses it)
 *   node scripts/run.mjs publish                     what changesets say is new, to npm; everything is built before, whole (`npm run release` does both)
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { MARK } from "./package-line.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (file) => readFileSync(join(root, file), "utf8");
// The version packageManager names: any other makes pnpm try to switch itself and fail on a signature check.
const pnpm = JSON.parse(read("package.json")).packageManager;
const environment = {
  ...process.env,
  TURBO_TELEMETRY_DISABLED: "1",
  DO_NOT_TRACK: "1",
  TURBO_NO_UPDATE_NOTIFIER: "1",
  npm_config_update_notifier: "false",
};
const shell = process.platform === "win32";

/** Runs to the end; output of a quiet run is shown only when it fails. */
function run(command, args, { quiet = false } = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    env: environment,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    shell,
    stdio: quiet ? ["ignore", "pipe", "pipe"] : "inherit",
  });
  if (quiet && status !== 0) process.stderr.write(`${stdout ?? ""}${stderr ?? ""}`);
  if (error) throw error;
  if (signal) process.exit(1);
  return status ?? 1;
}
const withPnpm = (args, options) => run("npx", ["--yes", pnpm, ...args], options);
const orExit = (status) => {
  if (status !== 0) process.exit(status);
};
const say = (text) => {
  process.stderr.write(`kreplica: ${text}\n`);
};

const packages = readdirSync(join(root, "packages"))
  .filter((name) => existsSync(join(root, "packages", name, "package.json")))
  .sort();

/** Digest of the files' names and contents. */
function digest(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update(readFileSync(join(root, file)));
  return hash.digest("hex");
}
const stampOf = (name) => join(root, "node_modules", `.kreplica-${name}`);
const stamped = (name, now) => existsSync(stampOf(name)) && readFileSync(stampOf(name), "utf8") === now;

/**
 * What is installed: `command` is what the command runs and is built with, a twentieth of `all`. What was once whole
 * stays so: a later change of the lock file does not take the tools away again.
 */
function install(wanted) {
  const now = digest([
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "package.json",
    "scripts/package.json",
    ...packages.map((name) => `packages/${name}/package.json`),
  ]);
  if (stamped("installed-all", now) || (wanted === "command" && stamped("installed-command", now))) return;
  const whole = wanted === "all" || existsSync(stampOf("installed-all"));
  say(
    whole
      ? "installing all that is built and tested with (400 packages, about half a minute)"
      : "installing what the command needs (20 packages, about 10 s)",
  );
  const part = whole ? [] : ["--prod", "--filter", "@kreplica/bench...", "--filter", "kreplica-scripts"];
  orExit(
    withPnpm(["install", "--frozen-lockfile", "--prefer-offline", "--config.confirmModulesPurge=false", ...part], {
      quiet: true,
    }),
  );
  mkdirSync(join(root, "node_modules"), { recursive: true });
  writeFileSync(stampOf(whole ? "installed-all" : "installed-command"), now);
}

/** Files below a folder, by name. @param passed names of files and folders that are passed over, at any depth */
const under = (folder, passed = []) =>
  !existsSync(join(root, folder))
    ? []
    : readdirSync(join(root, folder))
        .sort()
        .flatMap((name) => {
          if (passed.includes(name)) return [];
          const file = `${folder}/${name}`;
          return statSync(join(root, file)).isDirectory() ? under(file, passed) : [file];
        });

/**
 * Builds what the command runs, unless what lies in every dist was built from these very sources, by this or by turbo.
 */
async function build() {
  const sources = digest(
    [
      "tsconfig.base.json",
      "tsup.shared.ts",
      "scripts/build-command.mjs",
      "pnpm-lock.yaml",
      ...packages.flatMap((name) => [
        ...["package.json", "tsup.config.ts", "tsconfig.json"].map((file) => `packages/${name}/${file}`),
        ...under(`packages/${name}/src`),
      ]),
    ].filter((file) => existsSync(join(root, file))),
  );
  // What was built is part of the stamp: a dist that somebody removed or changed is built again. So is a source changed
  // while building.
  const state = () => `${sources} ${digest(packages.flatMap((name) => under(`packages/${name}/dist`)))}`;
  if (stamped("built", state())) return;
  say("building the command (about 2 s)");
  const { buildCommand } = await import("./build-command.mjs");
  try {
    await buildCommand(packages);
  } catch (error) {
    // The bundler has said where; a trace of its own would hide it.
    say(`not built: ${error.message.split("\n")[0]}`);
    process.exit(1);
  }
  writeFileSync(stampOf("built"), state());
}

/** What is made from the rest. */
const MADE = ["node_modules", "dist", ".git", ".turbo", ".reports", ".cache", ".micro-tmp"];
/** Programs that tests compare the model with, where they are there. */
const TOOLS = [
  "apt-get",
  "gcc",
  "readelf",
  "clang",
  "llvm-objdump",
  "zstd",
  "lz4",
  "xz",
  "qemu-system-x86_64",
  "parallel",
  "script",
  "chromium",
];

/**
 * Digest of all that a test's outcome depends on: every file of ours, what the host has to compare with, and the
 * variables that choose.
 */
function testState() {
  const where = (tool) =>
    (process.env.PATH ?? "")
      .split(delimiter)
      .map((folder) => join(folder, tool))
      .find((file) => existsSync(file));
  const tools = TOOLS.map((tool) => {
    const file = where(tool);
    return file ? `${file} ${statSync(file).mtimeMs}` : "-";
  });
  const recorded = ["../shared/data/traces-full", ".cache/kernel"].map((folder) =>
    existsSync(join(root, folder)) ? readdirSync(join(root, folder)).sort().join() : "-",
  );
  const chosen = Object.keys(process.env)
    .filter((name) => name.startsWith("KREPLICA_"))
    .sort()
    .map((name) => `${name}=${process.env[name]}`);
  return [digest(under(".", MADE)), process.version, ...tools, ...recorded, ...chosen].join("\n");
}

/**
 * Runs the packages' tests, a line for each, and ends with what failed and why. All that turbo and the runners print
 * goes to a file beside it.
 *
 * @returns exit code
 */
async function runTests(options) {
  const log = join(root, "node_modules/.kreplica-test.log");
  for (const name of packages) rmSync(join(root, "packages", name, ".reports"), { recursive: true, force: true });
  // One package at a time: each test runner uses both cores by itself, and two at once would disturb what is timed.
  const child = spawn(
    "npx",
    [
      "--yes",
      pnpm,
      "turbo",
      "run",
      "test",
      "--concurrency=1",
      "--continue",
      "--output-logs=full",
      "--log-prefix=none",
      ...options,
    ],
    { cwd: root, env: environment, stdio: ["ignore", "pipe", "pipe"], shell },
  );
  const lines = [];
  let [done, kept] = [0, false];
  const live = process.stdout.isTTY
    ? setInterval(() => {
        process.stdout.write(`\r  ${done} of ${packages.length} packages, ${Math.round(performance.now() / 1000)} s `);
      }, 1000)
    : undefined;
  const clear = () => {
    if (live) process.stdout.write("\r\x1b[2K");
  };
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      if (line.includes("cache hit")) kept = true;
      else if (line.includes("cache miss") || line.includes("cache bypass")) kept = false;
      if (!line.startsWith(MARK)) return;
      const { name, passed, failed, skipped, seconds } = JSON.parse(line.slice(MARK.length));
      done++;
      clear();
      process.stdout.write(
        `  ${name.padEnd(17)}${`${passed} passed`.padStart(12)}${failed > 0 ? `, ${failed} FAILED` : ""}${skipped > 0 ? `, ${skipped} skipped` : ""}${kept ? "  (nothing it depends on has changed)" : `  ${seconds} s`}\n`,
      );
    });
  }
  const status = await new Promise((resolve) =>
    child.on("error", () => resolve(1)).on("close", (code) => resolve(code ?? 1)),
  );
  clearInterval(live);
  clear();
  writeFileSync(log, `${lines.join("\n")}\n`);
  const counted = run(process.execPath, [
    join(root, "scripts/count.mjs"),
    "--why",
    ...(options.some((word) => word.startsWith("--filter") || word === "-F") ? ["--some"] : []),
  ]);
  if (status !== 0 && counted === 0)
    process.stdout.write(`turbo ended with ${status} though every test it ran passed\n`);
  if (status !== 0 || counted !== 0) process.stdout.write(`All that was printed: ${log}\n`);
  return status || counted;
}

const [job, ...rest] = process.argv.slice(2);
if (job !== "start" && job !== "test" && job !== "turbo" && job !== "publish" && job !== "site") {
  process.stderr.write("usage: node scripts/run.mjs start|site|test|turbo|publish [arguments]\n");
  process.exit(2);
}
const explores = job === "site" || (job === "start" && rest[0] === "explore");
install(job === "start" && !explores ? "command" : "all");
if (job === "site")
  process.exit(
    run(process.execPath, [join(root, "packages/explorer/scripts/site.mjs"), ...rest.map((folder) => resolve(folder))]),
  );
if (job === "start") {
  await build();
  if (explores) {
    say("building the explorer (about 2 s)");
    orExit(run(process.execPath, [join(root, "packages/explorer/scripts/site.mjs")], { quiet: true }));
  }
  const words =
    rest.length > 0 && !rest[0].startsWith("-")
      ? rest
      : rest.some((word) => ["--help", "-h", "--version", "-V"].includes(word))
        ? rest
        : ["compare", ...rest];
  process.exit(run(process.execPath, [join(root, "packages/bench/dist/cli.js"), ...words]));
}
if (job === "test") {
  const options = rest.filter((word) => word !== "--all");
  if (options.length < rest.length) environment.KREPLICA_PROOF = "1";
  const proofs = environment.KREPLICA_PROOF === "1";
  // A first run fetches no kernel's package of a hundred megabytes; one that is there already is used.
  if (!proofs && !process.env.CI) environment.KREPLICA_OFFLINE ??= "1";
  // CI's word is worth something because it never takes another's.
  const mayKnow = options.length === 0 && !process.env.CI;
  const reported = packages.every((name) => existsSync(join(root, `packages/${name}/.reports/vitest.json`)));
  if (mayKnow && reported && stamped(proofs ? "tested-all" : "tested", testState())) {
    process.stdout.write(
      "All tests passed with these very files, tools and settings; npm test -- --force runs them again. From the runners' reports:\n",
    );
    process.exit(run(process.execPath, [join(root, "scripts/count.mjs")]));
  }
  process.stdout.write(
    proofs
      ? "All tests of all packages, long proofs too: about a quarter of an hour on two cores\n"
      : "Tests of all packages, about 7 minutes on two cores; the long proofs run with npm test -- --all\n",
  );
  const status = await runTests(options);
  // Afterwards: tests fetch a kernel where there is none.
  if (mayKnow && status === 0) writeFileSync(stampOf(proofs ? "tested-all" : "tested"), testState());
  process.exit(status);
}
// Changesets call pnpm, which alone knows what `workspace:` stands for: below `pnpm exec` it is found, on a host
// without one of its own too.
if (job === "publish") process.exit(withPnpm(["exec", "changeset", "publish", ...rest]));
process.exit(withPnpm(["turbo", "run", ...rest]));
