/** `--plugin FILE`: what a file adds is in every command; whatever is wrong with one is told by file and field. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { extensions, NO_EXTENSIONS, useExtensions } from "@kreplica/kernel";
import { loadPlugins } from "../src/plugin-file.js";
import { pluginDigests } from "../src/queue/job.js";
import { codeVersion } from "../src/sweep/code-version.js";
import { buildCommand, type TestedCommand } from "./cli.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-plugin-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let written = 0;
const file = (text: string, name = `own-${written++}.mjs`): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
/** The page's own example. */
const odd = file(
  /```js\n\/\/ odd\.mjs\n([\s\S]*?)```/.exec(
    readFileSync(join(import.meta.dirname, "../../../docs/own-plugins.md"), "utf8"),
  )![1]!,
  "odd.mjs",
);

describe("docs/own-plugins.md's example", () => {
  test("its policy is listed, named in the help, and boots", async () => {
    expect((await invoke(["policies", "--plugin", odd])).out).toContain("odd-nodes");
    expect((await invoke(["boot", "--help", `--plugin=${odd}`])).out).toContain("odd-nodes");
    const { code, out } = await invoke([
      "boot",
      "--plugin",
      odd,
      "--machine",
      "xeon-8280-4s",
      "--policy",
      "odd-nodes",
      "--json",
    ]);
    const document = JSON.parse(out) as { holders: number[]; invariants: { checked: string[] } };
    expect([code, document.holders]).toEqual([0, [0, 1, 3]]);
    expect(document.invariants.checked).toContain("X1");
  });

  test("the next command has nothing of it", async () => {
    await invoke(["policies", "--plugin", odd]);
    expect((await invoke(["policies"])).out).not.toContain("odd-nodes");
    expect(extensions().files).toEqual([]);
  });
});

test("a CommonJS file's default is what it exports", async () => {
  const own = file(`module.exports = { policies: { "a b": {} } };`, "own.cjs");
  expect((await invoke(["policies", "--plugin", own])).error).toMatch(/own\.cjs: policies\.a b: is no name/);
});

test("its machine is one by name, and is listed", async () => {
  const own = file(
    `export default ({ machines }) => ({ machines: { "our-lab": { ...machines.preset("tiny-2-node"), summary: "ours" } } });`,
  );
  expect((await invoke(["machine", "--plugin", own])).out).toContain("our-lab");
  expect((await invoke(["policies", "--measure", "--machine", "our-lab", "--plugin", own, "--json"])).out).toContain(
    '"machine": "our-lab"',
  );
});

test("its overlays lie over every kernel, and its invariants are checked by boot and check: what breaks is found", async () => {
  const broken = file(
    `export default ({ di, mmCore }) => ({
      overlays: [di.overlay(mmCore.PgdPlan, (base) => ({ ...base, name: "mine" }))],
      invariants: [{ id: "X7", when: "always", where: ["state"], sentence: "plans have their own names",
        check: ({ kernel }, verdict) => {
          const { name } = kernel.assembly.get(mmCore.PgdPlan);
          if (name === "mine") verdict.fail("a plan is called mine");
        } }],
    });`,
  );
  const boot = await invoke(["boot", "--machine", "tiny-2-node", "--plugin", broken]);
  expect([boot.code, /X7\s+plans have\s+their own\s+names/.test(boot.out)]).toEqual([1, true]);
  const words = ["check", "--runs", "2", "--steps", "5", "--nodes", "2", "--levels", "4", "--pti", "off"];
  const check = await invoke([...words, "--plugin", broken]);
  expect([check.code, check.out.includes("X7")]).toEqual([1, true]);
});

describe("what is wrong with a file", () => {
  const plugin = (text: string): string => file(`export default (kit) => (${text});`);
  const policy = `{ ...kit.numaReplication.numaReplication }`;
  test.each<[string, () => string, RegExp]>([
    ["not there", () => join(folder, "none.mjs"), /none\.mjs: no such file/],
    ["throws", () => file("throw new Error('mine')"), /cannot be loaded: Error: mine/],
    [
      "no default export",
      () => file("export const policies = {};"),
      /default: has no default export. Write export default/,
    ],
    ["no object", () => file("export default 7;"), /default: exports no object/],
    ["exports nothing", () => file("globalThis.x = 1;", "nothing.js"), /default: has no default export/],
    ["a list", () => file("export default [];"), /default: exports no object/],
    [
      "its function throws",
      () => file("export default () => { throw new Error('mine') };"),
      /default: its function throws: mine/,
    ],
    ["another field", () => plugin("{ polices: {} }"), /polices: is no field of a plugin/],
    [
      "a name that is taken",
      () => plugin(`{ policies: { "per-node": ${policy} } }`),
      /policies\.per-node: there is such a policy already/,
    ],
    [
      "a family's name",
      () => plugin(`{ policies: { groups: ${policy} } }`),
      /policies\.groups: there is such a policy already/,
    ],
    ["no name", () => plugin(`{ policies: { "a b": ${policy} } }`), /policies\.a b: is no name/],
    [
      "alignment",
      () => plugin(`{ policies: { a: { ...${policy}, alignment: 2 } } }`),
      /policies\.a\.alignment: is neither/,
    ],
    [
      "holders",
      () => plugin(`{ policies: { a: { ...${policy}, holders: [0] } } }`),
      /policies\.a\.holders: is neither/,
    ],
    [
      "bindings",
      () => plugin(`{ policies: { a: { ...${policy}, bindings: [] } } }`),
      /policies\.a\.bindings: do not bind/,
    ],
    [
      "a machine that ships",
      () => plugin(`{ machines: { "tiny-2-node": {} } }`),
      /machines\.tiny-2-node: there is such a machine/,
    ],
    [
      "an overlay over nothing",
      () => plugin(`{ overlays: [kit.di.overlay(kit.di.token("mine"), (a) => a)] }`),
      /overlays\[0\]: lies over .*mine, which nothing/,
    ],
    ["no overlay", () => plugin(`{ overlays: [7] }`), /overlays\[0\]: is no overlay/],
    ["no list", () => plugin(`{ overlays: {} }`), /overlays: is no list/],
    [
      "an id that is taken",
      () => plugin(`{ invariants: [{ id: "A1", sentence: "", check() {} }] }`),
      /invariants\[0\]\.id: there is an invariant A1/,
    ],
    [
      "no check",
      () => plugin(`{ invariants: [{ id: "X1", sentence: "" }] }`),
      /invariants\[0\]\.check: is no function/,
    ],
  ])("%s", async (_what, path, message) => {
    const { code, out, error } = await invoke(["policies", "--plugin", path()]);
    expect(error).toMatch(message);
    expect([code, out]).toEqual([2, ""]);
  });
});

describe("the built command", () => {
  let kreplica: TestedCommand;
  beforeAll(async () => {
    kreplica = await buildCommand(["measure-worker"]);
  });
  afterAll(() => kreplica?.remove());

  test("workers that measure load the file too", async () => {
    const words = ["compare", "--test", "kill", "--plugin", odd, "--policy", "odd-nodes", "--json"];
    const { code, out, error } = await kreplica.run(words);
    expect(error).toBe("");
    expect(code).toBe(0);
    expect((JSON.parse(out) as { policy: string }).policy).toBe("odd-nodes");
  });

  test("what does not parse is told with line and column", async () => {
    const { code, error } = await kreplica.run(["policies", "--plugin", file("export default {\n")]);
    expect([code, error]).toEqual([2, expect.stringMatching(/own-\d+\.mjs:2:1: cannot be loaded: unexpected token/)]);
  });

  test("TypeScript on any Node, and in the worker threads too", async () => {
    const words = ["compare", "--test", "kill", "--plugin", typed(), "--policy", "first-two", "--json"];
    const { code, out, error } = await kreplica.run(words);
    expect([code, error]).toEqual([0, ""]);
    expect((JSON.parse(out) as { policy: string }).policy).toBe("first-two");
  });
});

/** A plugin of three files, whose overlay is of the command's own token, with no package beside it. */
function typed(): string {
  file(`module.exports = { SUMMARY: "copies on the first two nodes" };`, "words.cjs");
  file(
    `import { PER_NODE, replicationBy } from "@kreplica/numa-replication";
     import type { NodeId } from "@kreplica/hw-x86";
     import { SUMMARY } from "./words.cjs";
     export enum Most { Two = 2 }
     export const few = (name: string, most: Most) => replicationBy({ ...PER_NODE, name, summary: SUMMARY as string,
       chooseHolders: (machine: { nodes: readonly NodeId[] }): NodeId[] => machine.nodes.slice(0, most) });`,
    "few.ts",
  );
  return file(
    `import { overlay } from "@kreplica/di";
     import { PgdPlan } from "@kreplica/mm-core/api";
     import type { KreplicaPluginExport } from "@kreplica/bench";
     import { few, Most } from "./few.ts";
     export default {
       policies: { "first-two": few("first-two", Most.Two) },
       overlays: [overlay(PgdPlan, (base) => ({ ...base, name: "typed" }))],
     } satisfies KreplicaPluginExport;`,
    "typed.mts",
  );
}

describe("a file in TypeScript, and what it imports", () => {
  test("its packages are the command's own: its token is bound, its policy boots", async () => {
    const words = ["boot", "--plugin", typed(), "--machine", "xeon-8280-4s", "--policy", "first-two", "--json"];
    const { code, out, error } = await invoke(words);
    expect([code, error]).toEqual([0, ""]);
    expect((JSON.parse(out) as { holders: number[] }).holders).toEqual([0, 1]);
  });

  test("JavaScript modules, what they import and what they wait for, too", async () => {
    typed();
    file(`export { few as made } from "./few.ts";`, "made.mjs");
    const own = file(
      `import { made } from "./made.mjs";\nexport default { policies: { waits: await Promise.resolve(made("waits", 1)) } };`,
    );
    useExtensions(await loadPlugins([own]));
    expect(
      extensions()
        .read.map((each) => basename(each))
        .slice(1),
    ).toEqual(["made.mjs", "few.ts", "words.cjs"]);
    expect([...extensions().policies.keys()]).toEqual(["waits"]);
    useExtensions(NO_EXTENSIONS);
  });

  test("a change of any file that it imports is another digest and other code", async () => {
    const digests = async () => {
      useExtensions(await loadPlugins([typed()]));
      return { plugins: pluginDigests(), version: codeVersion() };
    };
    const path = typed();
    const before = await digests();
    expect(await digests()).toEqual(before);
    expect(extensions().read.map((each) => basename(each))).toEqual(["typed.mts", "few.ts", "words.cjs"]);
    expect(extensions().files).toEqual([path]);
    expect(before.plugins).toHaveLength(3);
    useExtensions(await loadPlugins([typed()]));
    for (const name of ["few.ts", "words.cjs"]) {
      appendFileSync(join(folder, name), "\n");
      expect(pluginDigests()).not.toEqual(before.plugins);
      expect(codeVersion()).not.toBe(before.version);
      typed();
      expect(codeVersion()).toBe(before.version);
    }
    useExtensions(NO_EXTENSIONS);
  });

  test.each([
    [
      "its types stay where they are",
      "interface A {\n  a: 1;\n}\nthrow new Error('mine');",
      /own-\d+\.ts:4: cannot be loaded: Error: mine/,
    ],
    [
      "in a file it imports",
      `import { few } from "./breaks.ts";\nexport default few;`,
      /own-\d+\.ts: cannot be loaded: RangeError: deep \(.*breaks\.ts:3\)/,
    ],
    [
      "what it imports does not parse",
      `import { few } from "./unparsed.ts";\nexport default few;`,
      /unparsed\.ts:2:7: cannot be loaded: unexpected token/,
    ],
    [
      "what it imports is not there",
      `import { few } from "./none.ts";\nexport default few;`,
      /own-\d+\.ts:1: cannot be loaded: Error: Cannot find module '\.\/none\.ts'/,
    ],
  ])("%s", async (_what, text, message) => {
    file("\ntype A = 1;\nthrow new RangeError('deep');", "breaks.ts");
    file("\nconst :", "unparsed.ts");
    const { code, out, error } = await invoke(["policies", "--plugin", file(text, `own-${written++}.ts`)]);
    expect(error).toMatch(message);
    expect([code, out]).toEqual([2, ""]);
  });
});
