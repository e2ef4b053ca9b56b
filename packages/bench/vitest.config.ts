/**
 * As all packages' tests, and those of `examples/`: here against the sources, which the examples import by their
 * published names; against the packed tarballs in test/package/examples.pack.ts.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { mergeConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { packageTests } from "../../vitest.shared.js";

const packages = fileURLToPath(new URL("..", import.meta.url));

/** Each door by its published name, longest names first: nothing is installed where the examples lie. */
const doors = readdirSync(packages)
  .filter((name) => existsSync(`${packages}${name}/package.json`))
  .flatMap((name) => {
    const { exports } = JSON.parse(readFileSync(`${packages}${name}/package.json`, "utf8")) as {
      exports: Record<string, { "@kreplica/source"?: string }>;
    };
    return Object.entries(exports).flatMap(([door, { "@kreplica/source": source }]) =>
      source === undefined
        ? []
        : [{ find: `@kreplica/${name}${door.slice(1)}`, replacement: `${packages}${name}/${source}` }],
    );
  })
  .sort((a, b) => b.find.length - a.find.length);

/** Files that put another module in a module's place: for them alone, and for no file after them. */
const mocking = readdirSync(new URL("test", import.meta.url), { recursive: true, encoding: "utf8" })
  .map((file) => `test/${file.replaceAll("\\", "/")}`)
  .filter((file) => file.endsWith(".test.ts"))
  .filter((file) => readFileSync(new URL(file, import.meta.url), "utf8").includes("vi.mock("));

const all = mergeConfig(packageTests, {
  resolve: { alias: doors },
  test: { include: ["../../examples/*/test/**/*.test.ts"] },
});
const some = (name: string, more: object): TestProjectInlineConfiguration => ({
  ...all,
  test: { ...all.test, name, ...more },
});

export default mergeConfig(all, {
  test: {
    projects: [
      some("sharing", { exclude: [...(all.test?.exclude ?? []), ...mocking] }),
      some("mocking", { include: mocking, isolate: true }),
    ],
  },
});
