/**
 * A kernel is one value with its policy as one plugin of its list, however the policy was named; what hangs on a policy
 * is asked of its fields.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { InputError } from "@kreplica/inputs";
import { type Booted, perNode, POLICIES, policyOf } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import { preset } from "@kreplica/machines";
import { expect, test } from "vitest";
import { boot, kernelFrom } from "../src/boot.js";
import { ptdump } from "../src/report/ptdump.js";

const spec = preset("tiny-2-node")!;

/** All a boot leaves that a user could tell two kernels by. */
const told = (kernel: Booted) => ({
  bounds: [kernel.image.stext, kernel.image.etext, kernel.image.startRodata, kernel.image.endRodata, kernel.image.end],
  options: kernel.options,
  layout: kernel.layout,
  holders: kernel.view.holders,
  timeline: kernel.timeline,
  memory: kernel.memory(),
  free: kernel.machine.nodes.map((node) => kernel.allocator.freeFrames(node)),
  tables: kernel.view.holders.map((node) => ptdump(kernel.machine.memory, kernel.view.kernelRoot(node), kernel.layout)),
});

test("a policy's name and the policy are the same kernel, for a single copy too", () => {
  expect(told(boot({ spec, policy: singleCopy }))).toEqual(told(boot({ spec, policy: "single-copy" })));
  const named = told(boot({ spec, policy: "rfc-v1" }));
  expect(told(boot({ spec, policy: POLICIES["rfc-v1"]! }))).toEqual(named);
  // So that the comparison above could fail.
  expect(told(boot({ spec }))).not.toEqual(named);
});

test("the ends of text and rodata are the policy's, unless the caller says", () => {
  const ends = (policy: Parameters<typeof boot>[0]) => kernelFrom(policy).image.etext;
  expect(ends({ spec, policy: singleCopy })).toBe(0xffff_ffff_81e0_1ef2n);
  expect(ends({ spec })).toBe(0xffff_ffff_8200_0000n);
  expect(ends({ spec, policy: { ...perNode, alignment: "recorded" } })).toBe(0xffff_ffff_81e0_1ef2n);
  expect(ends({ spec, policy: singleCopy, alignment: "patch-06" })).toBe(0xffff_ffff_8200_0000n);
});

test.each(Object.values(POLICIES))("$name is one plugin of its kernel's list, and carries no subsystem", (policy) => {
  const { plugins } = kernelFrom({ spec, policy });
  expect(plugins.filter((each) => each === policy)).toHaveLength(1);
  expect(
    policy.bindings.map(({ token }) => token.id).filter((id) => !id.startsWith("kreplica/numa-replication/")),
  ).toEqual(["kreplica/mm-core/ReplicaView", "kreplica/mm-core/PgdPlan"]);
});

test("the same kernel under another policy is the same but for it", () => {
  const kernel = kernelFrom({ spec, pti: true, seed: 7, levels: 4 });
  const single = kernel.with({ policy: singleCopy });
  expect([single.policy.name, kernel.policy.name]).toEqual(["single-copy", "per-node"]);
  expect(single.options).toEqual(kernel.options);
  expect(single.layout.pti).toBe(true);
  expect(kernelFrom(kernel)).toBe(kernel);
});

test("a kernel says what is wrong with its choices when it is made out, and names where", () => {
  expect(() => kernelFrom({ spec, policy: "per-nod" }).plugins).toThrow(
    /^--policy: there is no policy per-nod. Did you mean per-node\?/,
  );
  expect(() => policyOf("toString", { file: "own.json", field: "policy" })).toThrow(InputError);
  expect(() => policyOf("toString", { file: "own.json", field: "policy" })).toThrow(
    /own\.json: policy: there is no policy toString\. Choose one of single-copy, /,
  );
});

test("nothing asks for a policy by its name", () => {
  const packages = resolve(import.meta.dirname, "../..");
  const names = Object.keys(POLICIES).join("|");
  const asks = new RegExp(
    `[!=]==?\\s*"(${names})"|"(${names})"\\s*[!=]==?|case "(${names})"|(includes|startsWith|has|policyOf)\\("(${names})"\\)|\\["(${names})"\\]`,
  );
  expect('policy !== "single-copy"').toMatch(asks);
  const found = readdirSync(packages).flatMap((name) =>
    readdirSync(join(packages, name, "src"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .flatMap((file) =>
        readFileSync(join(packages, name, "src", file), "utf8")
          .split("\n")
          .flatMap((line, at) => (asks.test(line) ? [`${name}/src/${file}:${at + 1}: ${line.trim()}`] : [])),
      ),
  );
  expect(found).toEqual([]);
  const refusals = ["bench", "kernel"].flatMap((name) =>
    readdirSync(join(packages, name, "src"), { recursive: true, encoding: "utf8" }).filter(
      (file) =>
        file.endsWith(".ts") && readFileSync(join(packages, name, "src", file), "utf8").includes("there is no policy"),
    ),
  );
  expect(refusals).toEqual(["policies.ts"]);
});
