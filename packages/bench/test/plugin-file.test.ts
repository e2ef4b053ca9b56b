/** `--plugin FILE`: what a file adds is in every command; whatever is wrong with one is told by file and field. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { extensions } from "@kreplica/kernel";
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
    kreplica = await buildCommand();
  });
  afterAll(() => kreplica?.remove());

  test("workers that measure load the file too", async () => {
    const words = ["compare", "--test", "kill", "--plugin", odd, "--policy", "odd-nodes", "--json"];
    const { code, out, error } = await kreplica.run(words);
    expect(error).toBe("");
    expect(code).toBe(0);
    expect((JSON.parse(out) as { policy: string }).policy).toBe("odd-nodes");
  });

  test("what does not parse, or is TypeScript that this Node does not read, is told", async () => {
    const run = (path: string) => kreplica.run(["policies", "--plugin", path]);
    expect(await run(file("export default {"))).toMatchObject({
      code: 2,
      error: expect.stringMatching(/own-\d+\.mjs: cannot be loaded: SyntaxError/) as string,
    });
    const typed = await run(file("export default { policies: {} as Record<string, never> };", "typed.mts"));
    if ((process.features as { typescript?: unknown }).typescript) expect(typed.code).toBe(0);
    else expect([typed.code, typed.error]).toEqual([2, expect.stringContaining("does not read TypeScript")]);
  });
});
