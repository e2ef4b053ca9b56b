/**
 * Writes the files every package has alike (package.json, tsconfig, tsup and vitest configuration), so that the
 * doors and the publishing fields are the same everywhere. Usage: node scripts/new-package.mjs NAME "DESCRIPTION"
 * [door...]
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const [name, description, ...doors] = process.argv.slice(2);
if (!name || !description || doors.length === 0) {
  console.error('usage: node scripts/new-package.mjs NAME "DESCRIPTION" index [api] [testing]');
  process.exit(2);
}
const dir = `packages/${name}`;
const at = (door) => (door === "index" ? "." : `./${door}`);
const published = (door) => ({ types: `./dist/${door}.d.ts`, default: `./dist/${door}.js` });
const old = existsSync(`${dir}/package.json`) ? JSON.parse(readFileSync(`${dir}/package.json`, "utf8")) : {};
const manifest = {
  name: `@kreplica/${name}`,
  version: old.version ?? "0.0.0",
  description,
  license: "MIT",
  author: "The kreplica authors",
  type: "module",
  sideEffects: name === "di" ? ["./dist/index.js"] : false,
  files: ["dist", "src", "CHANGELOG.md"],
  engines: { node: ">=20.19" },
  repository: { type: "git", url: "git+https://github.com/kreplica/kreplica.git", directory: dir },
  homepage: `https://github.com/kreplica/kreplica/tree/main/${dir}#readme`,
  bugs: "https://github.com/kreplica/kreplica/issues",
  // What somebody would search for who needs this package alone.
  keywords: old.keywords ?? name.split("-"),
  exports: Object.fromEntries(doors.map((d) => [at(d), { "@kreplica/source": `./src/${d}.ts`, ...published(d) }])),
  publishConfig: { access: "public", exports: Object.fromEntries(doors.map((d) => [at(d), published(d)])) },
  scripts: {
    build: "tsup",
    typecheck: "tsc -p .",
    test: "vitest run",
    package:
      "publint --strict && attw --profile esm-only --format ascii --no-emoji --quiet --pack . && node ../../scripts/api-report.mjs",
  },
  dependencies: old.dependencies ?? {},
  ...(old.peerDependencies
    ? { peerDependencies: old.peerDependencies, peerDependenciesMeta: old.peerDependenciesMeta }
    : {}),
  ...(old.devDependencies ? { devDependencies: old.devDependencies } : {}),
};
mkdirSync(`${dir}/src`, { recursive: true });
mkdirSync(`${dir}/test`, { recursive: true });
const write = (file, text) => writeFileSync(`${dir}/${file}`, text);
write("package.json", JSON.stringify(manifest, null, 2) + "\n");
write(
  "tsconfig.json",
  JSON.stringify({ extends: "../../tsconfig.base.json", include: ["src", "test", "*.ts"] }, null, 2) + "\n",
);
write(
  "tsup.config.ts",
  `import { doors } from "../../tsup.shared.js";\n\nexport default doors(${doors.map((d) => `"src/${d}.ts"`).join(", ")});\n`,
);
write("vitest.config.ts", `export { packageTests as default } from "../../vitest.shared.js";\n`);
