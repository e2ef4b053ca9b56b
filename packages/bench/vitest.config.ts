/**
 * As all packages' tests, and those of `examples/`: here against the sources, which the examples import by their
 * published names; against the packed tarballs in test/package/examples.pack.ts.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { mergeConfig } from "vitest/config";
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

export default mergeConfig(packageTests, {
  resolve: { alias: doors },
  test: { include: ["../../examples/*/test/**/*.test.ts"] },
});
