/**
 * The arrows that may never exist between packages, generated from the layer table (`scripts/layers.mjs`);
 * ARCHITECTURE.md says why.
 */
import { layers } from "./scripts/layers.mjs";

const names = Object.keys(layers);
const inPackage = (list) => `^packages/(${list.join("|")})/`;
const never = (name, from, to, comment) => ({ name, severity: "error", comment, from, to });
const upward = names
  .filter((name) => name !== "bench")
  .map((name) =>
    never(
      `layer-${name}`,
      { path: `^packages/${name}/` },
      { path: inPackage(names.filter((other) => other !== name && layers[other] >= layers[name])) },
      "an import goes to a strictly lower layer; siblings do not know each other, tests included",
    ),
  );

export default {
  forbidden: [
    ...upward,
    never("no-circular", {}, { circular: true }, "a cycle of any length, type imports included"),
    never(
      "not-resolvable",
      { pathNot: "^packages/[^/]+/dist/" },
      { couldNotResolve: true },
      "an undeclared dependency",
    ),
    never(
      "only-api-across-packages",
      { path: "^packages/(?!bench/|explorer/|kernel-files/|kernel/|check/|replay/)([^/]+)/src/" },
      {
        path: "^packages/(?!di/|elf/|inputs/|trace/|machines/)([^/]+)/src/(index|isa/index)\\.ts$",
        pathNot: "^packages/$1/",
      },
      "the implementation is not the contract; testing doors may stand on one another",
    ),

    never(
      "doors-only",
      { path: "^packages/([^/]+)/" },
      {
        path: "^packages/([^/]+)/src/",
        pathNot: ["^packages/$1/", "^packages/[^/]+/src/(index|api|testing|iced|zstd|program|isa/index)\\.ts$"],
      },
      "another package is entered through its doors",
    ),
    never(
      "no-path-into-a-neighbour",
      { path: "^packages/([^/]+)/" },
      { path: "^packages/", pathNot: "^packages/$1/", dependencyTypes: ["local"] },
      "another package is imported by its name",
    ),
    never(
      "only-di-names-tsyringe",
      { pathNot: "^packages/di/" },
      { path: "node_modules/(tsyringe|reflect-metadata)/" },
      "load order and replaceability live in di",
    ),
    never(
      "shipped-code-carries-no-tests",
      { path: "^packages/[^/]+/src/", pathNot: "/src/testing(\\.ts|/)" },
      { path: ["node_modules/(fast-check|vitest)/", "^packages/[^/]+/src/testing(\\.ts|/)"] },
      "fast-check and vitest stay in tests and testing.ts",
    ),
    never(
      "only-bench-touches-node",
      { path: "^packages/(?!bench/|recordings/)[^/]+/src/" },
      { dependencyTypes: ["core"] },
      "the packages also run in a browser",
    ),
    never(
      "no-wiring-on-the-hot-path",
      { path: "^packages/hw-x86/src/(core|tlb[^/]*|pwc|walker|cache[^/]*|counters|coherence)\\.ts$" },
      { path: "^packages/di/" },
      "hot files import nothing from di",
    ),
    never(
      "reports-do-not-run-machines",
      { path: "^packages/bench/src/report/" },
      {
        path: "^packages/(?!bench/|inputs/|trace/|machines/|kernel-files/|kernel/|check/|museum/|series-as-posted/|replay/|report/)[^/]+/src/index\\.ts$",
      },
      "values in, text out",
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: ["^packages/[^/]+/(dist|etc|\\.reports|\\.cache)/"] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@kreplica/source", "import", "types", "node", "default"],
      extensions: [".ts", ".tsx", ".js", ".mjs", ".d.ts", ".json"],
    },
  },
};
