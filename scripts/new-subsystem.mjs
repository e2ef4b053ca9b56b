/**
 * A new subsystem, whole: a package that has interface, token, class and plugin, tests that boot a kernel with it, and
 * its place in the layers, on the page of the architecture, in the lock file and in the next changelog. What is written
 * after that is what the subsystem is about.
 *
 *   node scripts/new-subsystem.mjs NAME "What it is" [--needs vmalloc,text-patch]
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { layers } from "./layers.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const refuse = (why) => {
  console.error(`new-subsystem: ${why}`);
  process.exit(2);
};
const words = process.argv.slice(2);
const at = words.indexOf("--needs");
const asked = at < 0 ? [] : (words.splice(at, 2)[1]?.split(",") ?? []);
const [name, what, ...more] = words;
if (!name || !what || more.length > 0) refuse('usage: new-subsystem.mjs NAME "What it is" [--needs PACKAGE,PACKAGE]');
if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name))
  refuse(`${name}: a name is lower-case words with hyphens between them, as text-patch`);
if (layers[name] !== undefined || existsSync(join(root, "packages", name))) refuse(`packages/${name} is there already`);
const needs = [...new Set(["di", "hw-x86", "mm-core", ...asked])];
for (const each of needs)
  if (layers[each] === undefined)
    refuse(`--needs ${each}: there is no such package; there are ${Object.keys(layers).join(", ")}`);
const layer = Math.max(...needs.map((each) => layers[each])) + 1;
const Type = name.replaceAll(/(?:^|-)(\w)/g, (_, letter) => letter.toUpperCase());
const value = Type[0].toLowerCase() + Type.slice(1);

const write = (file, text) => {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
};
const edit = (file, change) => {
  const before = readFileSync(join(root, file), "utf8");
  const after = change(before);
  if (after === before) refuse(`${file} is not as this script knows it: nothing could be inserted`);
  writeFileSync(join(root, file), after);
};
const run = (command, args) => {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) refuse(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`);
};

run(process.execPath, [join(root, "scripts/new-package.mjs"), name, what, "index", "api"]);
edit(`packages/${name}/package.json`, (text) => {
  const manifest = JSON.parse(text);
  manifest.dependencies = Object.fromEntries(needs.sort().map((each) => [`@kreplica/${each}`, "workspace:^"]));
  manifest.keywords = [...name.split("-"), "kernel", "numa", "x86-64"];
  return `${JSON.stringify(manifest, null, 2)}\n`;
});

write(
  `packages/${name}/src/api.ts`,
  `/** ${what}: interface and token. */
import { token } from "@kreplica/di";
import type { NodeId } from "@kreplica/hw-x86/api";

/** ${what}. */
export interface ${Type} {
  /** Nodes it works for, each once. */
  readonly nodes: readonly NodeId[];
}
export const ${Type} = token<${Type}>("${name}/${Type}");
`,
);
write(
  `packages/${name}/src/${name}.ts`,
  `/** ${what}, on every holder's tables. */
import { inject, injectable } from "@kreplica/di";
import type { NodeId } from "@kreplica/hw-x86/api";
import { ReplicaView } from "@kreplica/mm-core/api";
import type { ${Type} } from "./api.js";

/** ${what}, however many holders there are. */
@injectable()
export class PerHolder${Type} implements ${Type} {
  constructor(@inject(ReplicaView) private readonly view: ReplicaView) {}
  get nodes(): readonly NodeId[] { return this.view.holders; }
}
`,
);
write(
  `packages/${name}/src/index.ts`,
  `/** Public surface of ${name}: the plugin. */
import { bind, plugin } from "@kreplica/di";
import { ${Type} } from "./api.js";
import { PerHolder${Type} } from "./${name}.js";

export * from "./api.js";
export { PerHolder${Type} };

/** Needs mm-core. */
export const ${value} = plugin("${name}", [bind(${Type}, PerHolder${Type})]);
`,
);
write(
  `packages/${name}/test/${name}.test.ts`,
  `/** ${what}, in kernels with one holder and with several. */
import { fixedHolders, testKernel } from "@kreplica/mm-core/testing";
import { expect, test } from "vitest";
import { ${Type}, ${value} } from "../src/index.js";

const machine = [0, 1, 2, 3].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));

test.each([[[0]], [[0, 1]], [[1, 3]]])("holders %j", (holders) => {
  const kernel = testKernel({ nodes: machine, master: holders[0]!, view: fixedHolders(...holders), plugins: [${value}] });
  expect(kernel.assembly.get(${Type}).nodes).toEqual(holders);
});

test("a kernel boots with it", () => {
  const kernel = testKernel({ plugins: [${value}] });
  kernel.boot.run();
  expect(kernel.assembly.get(${Type}).nodes).toEqual([0]);
});
`,
);
write(
  `packages/${name}/README.md`,
  `# @kreplica/${name}

${what}, on the modelled kernel of [kreplica](https://github.com/kreplica/kreplica).

## Install

\`\`\`sh
npm install @kreplica/${name} @kreplica/mm-core fast-check
\`\`\`

fast-check is for the test kernel of the example only.

## Example

<!-- example ${name} -->
\`\`\`ts
import { testKernel } from "@kreplica/mm-core/testing";
import { ${Type}, ${value} } from "@kreplica/${name}";

const kernel = testKernel({ plugins: [${value}] });
kernel.boot.run();
console.log("works for nodes", kernel.assembly.get(${Type}).nodes.join(", "));
\`\`\`

prints

<!-- example ${name} output -->
\`\`\`
works for nodes 0
\`\`\`

## What it does not do

It is new: it knows which nodes it works for, and does nothing there yet.

Doors: \`.\` (the plugin), \`./api\` (interface, token).
`,
);
const lower = what[0].toLowerCase() + what.slice(1);
write(`.changeset/${name}.md`, `---\n"@kreplica/${name}": minor\n---\n\n\`@kreplica/${name}\`: ${lower}.\n`);

edit("scripts/layers.mjs", (text) =>
  text.replace(/\n\};\s*$/, `\n  ${name.includes("-") ? `"${name}"` : name}: ${layer},\n};\n`),
);
edit("ARCHITECTURE.md", (text) => {
  const rows = [...text.matchAll(/^\| `[\w-]+` \| (\d+) \|.*\n/gm)];
  const before = rows.filter((row) => Number(row[1]) <= layer).at(-1);
  const end = before.index + before[0].length;
  return `${text.slice(0, end)}| \`${name}\` | ${layer} | ${lower} | say what is not its own |\n${text.slice(end)}`;
});
edit("ARCHITECTURE.md", (text) => {
  const drawn = [...text.matchAll(/^ {2}([\w-]+) --> ([\w& -]+)$/gm)].flatMap(([, from, to]) =>
    to.split(" & ").map((each) => [from, each.trim()]),
  );
  const reached = (from, seen = new Set()) => {
    for (const [a, b] of drawn) if (a === from && !seen.has(b)) reached(b, seen.add(b));
    return seen;
  };
  const own = needs.filter((each) => !needs.some((other) => reached(other).has(each)));
  return text.replace(/(```mermaid\n[\s\S]*?)(```)/, `$1  ${name} --> ${own.join(" & ")}\n$2`);
});

const pnpm = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).packageManager;
run("npx", [
  "--yes",
  pnpm,
  "install",
  "--prefer-offline",
  "--no-frozen-lockfile",
  "--config.confirmModulesPurge=false",
]);
const files = readdirSync(join(root, "packages", name), { recursive: true, encoding: "utf8" }).filter(
  (file) => !file.includes("node_modules") && /\.\w+$/.test(file),
);
console.log(`packages/${name}, layer ${layer}: ${files.length} files.
Beside them: scripts/layers.mjs, ARCHITECTURE.md, pnpm-lock.yaml, .changeset/${name}.md.
A kernel boots with it: cd packages/${name} && npx vitest run`);
