/**
 * Runs tests of one package for scripts/planted.mjs, again and again in one process: what is loaded is transformed
 * once, and after that only the file in which a fault is planted. Each run has a fresh worker, as in any call of the
 * runner.
 *
 *   fork("planted-runs.mjs", [PACKAGE FOLDER]); send({ test, pattern, planted }) gives { passed, failed }: a number, and
 *   titles in their order; or undefined where no test ran. The first test that fails ends the run.
 */
import { resolve } from "node:path";
import { createVitest } from "vitest/node";

const root = resolve(process.argv[2]);
process.chdir(root);
process.env.KREPLICA_PLANTED = "";
const vitest = await createVitest("test", {
  root,
  watch: false,
  bail: 1,
  maxWorkers: 1,
  isolate: true,
  pool: "threads",
  reporters: [{}],
});
await vitest.standalone();

/** Has a file transformed anew. Files that import it are the same: Vite's own way would transform them, too. */
function forget(file) {
  for (const { vite } of vitest.projects)
    for (const { moduleGraph } of Object.values(vite.environments))
      for (const module of moduleGraph.getModulesByFile(file) ?? []) module.transformResult = null;
}

async function run({ test, pattern, planted }) {
  if (planted) {
    process.env.KREPLICA_PLANTED = JSON.stringify(planted);
    forget(planted.file);
  }
  vitest.setGlobalTestNamePattern(pattern ?? "");
  const file = resolve(root, test);
  const specifications = (await vitest.globTestSpecifications([file])).filter(({ moduleId }) => moduleId === file);
  const { testModules } = await vitest.runTestSpecifications(specifications);
  if (planted) {
    process.env.KREPLICA_PLANTED = "";
    forget(planted.file);
  }
  const tests = testModules
    .filter(({ moduleId }) => moduleId === file)
    .flatMap(({ children }) => [...children.allTests()]);
  const of = (state) => tests.filter((each) => each.result().state === state);
  const [passed, failed] = [of("passed").length, of("failed").map(({ fullName }) => fullName)];
  return passed + failed.length === 0 ? {} : { passed, failed };
}

process.on("message", (wanted) => {
  run(wanted).then(
    (result) => process.send({ result }),
    (error) => process.send({ error: String(error?.stack ?? error) }),
  );
});
process.on("disconnect", () => void vitest.close().finally(() => process.exit()));
process.send("ready");
