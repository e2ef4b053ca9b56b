/**
 * A vitest reporter that says one line a package, for `scripts/run.mjs` to show: turbo keeps it with a package's answer
 * and says it again.
 */

/** What the line begins with. */
export const MARK = "kreplica-tests ";

export default class PackageLine {
  onInit(vitest) {
    this.root = vitest.config.root;
    this.begun = performance.now();
  }

  /** @param modules vitest's test files @param errors what was thrown outside any test */
  onTestRunEnd(modules, errors) {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state] = (count[test.result().state] ?? 0) + 1;
      // A file that could not even be loaded has no test in it.
      if (module.errors().length > 0) count.failed++;
    }
    process.stdout.write(
      `${MARK}${JSON.stringify({ ...count, failed: count.failed + errors.length, seconds: Math.round((performance.now() - this.begun) / 1000), name: this.root.split(/[\\/]/).at(-1) })}\n`,
    );
  }
}
