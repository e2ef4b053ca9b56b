/** The one tsup configuration all packages use, so that changing the bundler is one edit. */
import { defineConfig } from "tsup";

/** @param entry the package's doors: `src/index.ts`, `src/api.ts`, `src/testing.ts`, where it has them */
export const doors = (...entry: string[]) => doorsOf({}, ...entry);

/**
 * @param paths source of the doors that the package itself imports by name: their declarations are not there yet when
 *   declarations are made
 */
export const doorsOf = (paths: Record<string, string[]>, ...entry: string[]) =>
  defineConfig({
    entry,
    // A package imports a door of its own by name where the door is another file in a browser.
    external: [/^@kreplica\//],
    format: "esm",
    target: "node20",
    clean: true,
    splitting: true,
    treeshake: true,
    // Sources are in the tarball: a debugger steps into them.
    sourcemap: true,
    // A bundle's top-level `const` becomes `var`, which V8 reloads and checks at every use: with this, short literal
    // ones are written out (long ones: enums).
    esbuildOptions: (options) => {
      options.minifySyntax = true;
      options.sourcesContent = false;
    },
    // tsup 8's declaration step sets baseUrl, which TypeScript 6 calls deprecated (TS5101).
    dts: { compilerOptions: { ignoreDeprecations: "6.0", customConditions: [], paths } },
  });
