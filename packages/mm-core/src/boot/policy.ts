/** A policy: the one plugin of a kernel that says who holds copies of it, and what else hangs on that. */
import { type Binding, plugin, type Plugin } from "@kreplica/di";
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import type { Alignment } from "../image/image.js";

/**
 * Nodes that should hold a copy, in any order; the master is added, and nodes without memory never hold one.
 *
 * `copyBytes` are those of one holder's copies.
 */
export type ChooseHolders = (machine: Machine, master: NodeId, copyBytes: number) => readonly NodeId[];

/** A plugin that binds {@link ReplicaView} and {@link PgdPlan}, with what a kernel under it differs in beside them. */
export interface Policy extends Plugin {
  /** One line: who holds copies, of what. */
  readonly summary: string;
  /** Ends of text and rodata of an image that is built for it. */
  readonly alignment: Alignment;
  /** Who is to hold copies: the master alone, so that there is one of everything, or those chosen. */
  readonly holders: "master" | ChooseHolders;
}

/** @param name as users write it, a word without blanks or colons */
export const policy = (
  name: string,
  fields: Omit<Policy, "name" | "bindings">,
  bindings: readonly Binding[],
): Policy => ({ ...plugin(name, bindings), ...fields });
