/**
 * A micro benchmark of a commit beside the one of this tree: the commit's sources from git, bundled with what is
 * installed here, run in turn with this tree's, and every number's ratio.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";

/** Also below zero. */
const NUMBER = /-?\d[\d,]*(?:\.\d+)?/g;
const valueOf = (text) => Number(text.replaceAll(",", ""));
const shapeOf = (line) => line.replace(NUMBER, "#").replace(/ +/g, " ");

function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** As a benchmark writes its numbers: with as many decimals, and commas where it has them. */
function written(value, like) {
  const decimals = (/\.(\d+)$/.exec(like)?.[1] ?? "").length;
  return value.toLocaleString("en", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
    useGrouping: like.includes(",") || value >= 1e4,
  });
}

/**
 * What both print, by the medians of their runs, and behind each number that is not the same in all what it is of the
 * other's.
 *
 * @param before output of each run of the commit @param now output of each run of this tree, one or more
 * @returns lines of this tree's, each once; those that the commit does not print say so
 */
export function compareRuns(before, now) {
  const lines = (output) => output.split("\n").filter((line) => line !== "");
  const [theirs, ours] = [before.map(lines), now.map(lines)];
  const met = new Map();
  return ours[0].map((line, at) => {
    const shape = shapeOf(line);
    // Lines of one shape are told apart by their order.
    const nth = met.get(shape) ?? 0;
    met.set(shape, nth + 1);
    const same = theirs.map((run) => run.filter((each) => shapeOf(each) === shape)[nth]);
    if (same.some((each) => each === undefined)) return `${line}  (not in the other)`;
    const numbers = (all) => all.map((each) => each.match(NUMBER) ?? []);
    const [a, b] = [numbers(same), numbers(ours.map((run) => run[at] ?? line))];
    let index = -1;
    return line.replace(NUMBER, (text) => {
      index++;
      const [all, mine] = [a, b].map((runs) => runs.map((run) => valueOf(run[index] ?? text)));
      if ([...all, ...mine].every((each) => each === all[0])) return text;
      const median = medianOf(mine);
      const other = medianOf(all);
      // Of what is left when noise is taken from noise there is no ratio.
      return written(median, text) + (median > 0 && other > 0 ? ` (x ${(median / other).toFixed(2)})` : "");
    });
  });
}

/** The packages as a commit has them, below the cache of this one, and what they import. @returns their folder */
function sourcesOf(revision, bench) {
  const repository = join(bench, "../..");
  const commit = execFileSync("git", ["rev-parse", "--verify", "--quiet", `${revision}^{commit}`], {
    cwd: repository,
    encoding: "utf8",
  }).trim();
  const folder = join(bench, ".cache/against", commit);
  if (existsSync(folder)) return folder;
  // One is enough, and is made whole before it has its name.
  rmSync(join(bench, ".cache/against"), { recursive: true, force: true });
  const making = join(bench, ".cache/against/making");
  mkdirSync(making, { recursive: true });
  const archive = execFileSync(
    "git",
    ["archive", commit, "packages", "scripts", "package.json", "tsconfig.base.json"],
    { cwd: repository, maxBuffer: 2 ** 30 },
  );
  execFileSync("tar", ["-x", "-C", making], { input: archive });
  // What was fetched for this tree, kernels above all, is what the commit's would fetch.
  for (const shared of ["node_modules", ".cache"]) symlinkSync(join(repository, shared), join(making, shared));
  for (const name of readdirSync(join(making, "packages"))) {
    const installed = join(repository, "packages", name, "node_modules");
    if (!existsSync(installed)) continue;
    // Links, relative all: those to packages lead to the commit's.
    cpSync(installed, join(making, "packages", name, "node_modules"), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (from) => !/[\\/]\.[^\\/]*$/.test(from.slice(installed.length)),
    });
  }
  renameSync(making, folder);
  return folder;
}

/**
 * Runs a benchmark of this tree and of a commit in turn, and prints what {@link compareRuns} says.
 *
 * @param bundled of this tree @returns exit code: 2 when there is no such commit, or it has no such benchmark
 */
export async function runAgainst(revision, rounds, { bench, name, words, bundled }) {
  let other;
  try {
    const theirs = join(sourcesOf(revision, bench), "packages/bench");
    const { bundle } = await import(join(theirs, "scripts/bundle.mjs"));
    other = join(theirs, ".cache", `micro-${name}.mjs`);
    await bundle(`micro/${name}.ts`, other);
  } catch (error) {
    process.stderr.write(`${revision} has no benchmark ${name} that can be bundled here: ${error.message}\n`);
    return 2;
  }
  const outputs = { before: [], now: [] };
  for (let round = 0; round < rounds; round++)
    for (const [which, file] of [
      ["before", other],
      ["now", bundled],
    ]) {
      const { status, stdout } = spawnSync(process.execPath, [file, ...words], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"],
        maxBuffer: 2 ** 26,
      });
      if (status !== 0) return status ?? 1;
      outputs[which].push(stdout);
    }
  console.log(`${name}, and what each number is of that of ${revision}, in turn (x):`);
  for (const line of compareRuns(outputs.before, outputs.now)) console.log(line);
  return 0;
}
