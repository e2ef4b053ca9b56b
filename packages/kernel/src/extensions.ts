/** What plugin files added to this process: policies, machines, overlays and invariants beside those that ship. */
import type { Binding } from "@kreplica/di";
import type { MachineSpec } from "@kreplica/hw-x86";
import type { Invariant, Subject } from "@kreplica/invariants";
import type { KernelPolicy } from "./kernel-policy.js";

/** What all plugin files of a process come to. */
export interface Extensions {
  /** Paths, absolute: what a worker loads again. */
  readonly files: readonly string[];
  /** All that was read for them, themselves and what they import: what their digest is of. */
  readonly read: readonly string[];
  readonly policies: ReadonlyMap<string, KernelPolicy>;
  readonly machines: ReadonlyMap<string, MachineSpec>;
  readonly overlays: readonly Binding[];
  readonly invariants: readonly Invariant<Subject>[];
}

/** Without any plugin file. */
export const NO_EXTENSIONS: Extensions = {
  files: [],
  read: [],
  policies: new Map(),
  machines: new Map(),
  overlays: [],
  invariants: [],
};

let current = NO_EXTENSIONS;

/** Those in use: a command's, from its beginning to its end. */
export const extensions = (): Extensions => current;

/** Takes these in place of those before. */
export const useExtensions = (of: Extensions): void => {
  current = of;
};
