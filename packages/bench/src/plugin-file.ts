/**
 * `--plugin FILE`: a JavaScript or TypeScript module whose default export adds policies, machines, overlays,
 * invariants.
 */
import { resolve } from "node:path";
import * as di from "@kreplica/di";
import type { Binding } from "@kreplica/di";
import { efi } from "@kreplica/efi";
import { bpf } from "@kreplica/bpf";
import * as hwX86 from "@kreplica/hw-x86";
import type { MachineSpec } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import * as invariants from "@kreplica/invariants";
import type { Invariant, Subject } from "@kreplica/invariants";
import * as machines from "@kreplica/machines";
import { checkMachine, defaultPreset, preset } from "@kreplica/machines";
import * as mmCore from "@kreplica/mm-core";
import { type Extensions, INVARIANTS, type KernelPolicy, NO_EXTENSIONS, policyNames } from "@kreplica/kernel";
import { modulesWith, replicateAll } from "@kreplica/modules";
import * as numaReplication from "@kreplica/numa-replication";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { vmalloc } from "@kreplica/vmalloc";
import { kernelFrom } from "./boot.js";
import { loadCode } from "./code-file.js";
import type { KreplicaPlugin, PluginKit } from "./plugin.js";

const KIT: PluginKit = { di, hwX86, mmCore, numaReplication, invariants, machines };
const FIELDS = ["policies", "machines", "overlays", "invariants"] as const;
const SHAPE = "export default { policies: {...}, machines: {...}, overlays: [...], invariants: [...] }";
const NAME = /^[a-z0-9][a-z0-9_.-]*$/i;

/** Loads them in order. @throws InputError naming file and field */
export async function loadPlugins(files: readonly string[]): Promise<Extensions> {
  let all = NO_EXTENSIONS;
  for (const file of files) {
    const { plugin, read } = await loaded(file);
    all = added(all, file, plugin, read);
  }
  return all;
}

/** @throws InputError for a file that is not there, cannot be loaded, or exports something else */
async function loaded(file: string): Promise<{ readonly plugin: KreplicaPlugin; readonly read: readonly string[] }> {
  const fault = (reason: string, remedy: string, field?: string): never => {
    throw new InputError({ file, ...(field === undefined ? {} : { field }), reason, remedy });
  };
  if (file === "-") fault("a module is loaded from a file, not from standard input", "name a file", "--plugin");
  const { exported: given, read } = await loadCode(file, SHAPE);
  let made: unknown = given;
  if (typeof given === "function") {
    try {
      made = (given as (kit: PluginKit) => unknown)(KIT);
    } catch (error) {
      return fault(`its function throws: ${(error as Error).message}`, "mend the function", "default");
    }
  }
  if (typeof made !== "object" || made === null || Array.isArray(made))
    return fault("exports no object", `write ${SHAPE}`, "default");
  const other = Object.keys(made).find((key) => !(FIELDS as readonly string[]).includes(key));
  if (other !== undefined) fault("is no field of a plugin", `a plugin has ${FIELDS.join(", ")}`, other);
  return { plugin: made as KreplicaPlugin, read };
}

/** @throws InputError for what is none of its kind, or has a name that is taken */
function added(before: Extensions, file: string, given: KreplicaPlugin, read: readonly string[]): Extensions {
  const fault = (field: string, reason: string, remedy: string): never => {
    throw new InputError({ file, field, reason, remedy });
  };
  const record = <T>(field: "policies" | "machines"): [string, T][] => {
    const value: unknown = given[field] ?? {};
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return fault(field, "is no object", `write ${field}: { "a-name": {...} }`);
    return Object.entries(value).map(([name, each]) => {
      if (!NAME.test(name)) fault(`${field}.${name}`, "is no name", "use letters, digits, - and _ alone");
      if (typeof each !== "object" || each === null)
        fault(`${field}.${name}`, "is no object", "see docs/own-plugins.md");
      return [name, each as T];
    });
  };
  const list = <T>(field: "overlays" | "invariants"): readonly T[] => {
    const value: unknown = given[field] ?? [];
    return Array.isArray(value) ? (value as T[]) : fault(field, "is no list", `write ${field}: [...]`);
  };
  const policies = new Map(before.policies);
  for (const [name, each] of record<KernelPolicy>("policies")) {
    const field = `policies.${name}`;
    if (policyNames().includes(name) || policies.has(name))
      fault(field, "there is such a policy already", "give it another name");
    if (each.alignment !== "recorded" && each.alignment !== "patch-06")
      fault(`${field}.alignment`, "is neither recorded nor patch-06", "say where text and rodata end under it");
    if (each.holders !== "master" && typeof each.holders !== "function")
      fault(`${field}.holders`, 'is neither "master" nor a function', "say who is to hold copies");
    if (typeof each.summary !== "string") fault(`${field}.summary`, "is no text", "write one line about it");
    if (!bindsAll(each.bindings, [mmCore.ReplicaView, mmCore.PgdPlan]))
      fault(`${field}.bindings`, "do not bind ReplicaView and PgdPlan", "see `policy` of @kreplica/mm-core");
    policies.set(name, { ...each, name });
  }
  const known = new Map(before.machines);
  for (const [name, each] of record<MachineSpec>("machines")) {
    const field = `machines.${name}`;
    if (preset(name) !== undefined || known.has(name))
      fault(field, "there is such a machine already", "give it another name");
    const machine = { ...each, name };
    const [wrong] = checkMachine(machine);
    if (wrong) fault([field, ...wrong.path].join("."), wrong.reason, wrong.remedy);
    known.set(name, machine);
  }
  const bound = knownTokens();
  const overlays = list<Binding>("overlays");
  overlays.forEach((each, nth) => {
    const field = `overlays[${nth}]`;
    if (typeof each !== "object" || each === null || !("overlay" in (each.make ?? {})))
      fault(field, "is no overlay", "write overlay(Token, (base, get) => ...), of @kreplica/di");
    if (!bound.has(each.token.key))
      fault(field, `lies over ${each.token.id}, which nothing of kreplica binds`, "lay it over a token that is bound");
  });
  const rows = list<Invariant<Subject>>("invariants");
  const ids = new Set([...INVARIANTS, ...before.invariants].map(({ id }) => id));
  rows.forEach((each, nth) => {
    const field = `invariants[${nth}]`;
    if (typeof each !== "object" || each === null || !/^[A-Z]\d{1,3}$/.test(each.id))
      fault(`${field}.id`, "is no letter with a number", "write X1, X2, ...");
    if (ids.has(each.id)) fault(`${field}.id`, `there is an invariant ${each.id} already`, "give it another id");
    if (typeof each.sentence !== "string") fault(`${field}.sentence`, "is no text", "say what must hold");
    if (typeof each.check !== "function") fault(`${field}.check`, "is no function", "write check(subject, verdict)");
    ids.add(each.id);
  });
  return {
    files: [...before.files, resolve(file)],
    read: [...new Set([...before.read, ...read])],
    policies,
    machines: known,
    overlays: [...before.overlays, ...overlays],
    invariants: [
      ...before.invariants,
      ...rows.map((each) => ({ ...each, when: each.when ?? "always", where: ["state" as const] })),
    ],
  };
}

const bindsAll = (bindings: unknown, tokens: readonly { readonly key: symbol }[]): boolean =>
  Array.isArray(bindings) &&
  tokens.every(({ key }) => (bindings as readonly Binding[]).some((each) => each?.token?.key === key));

/** Everything that some kernel of kreplica's binds. */
const knownTokens = (): Set<symbol> =>
  new Set(
    [
      ...kernelFrom({ spec: defaultPreset }).plugins,
      setMemory,
      vmalloc,
      textPatch,
      modulesWith(replicateAll),
      bpf(false),
      efi,
    ].flatMap(({ bindings }) => bindings.map(({ token }) => token.key)),
  );
