/**
 * A kernel that breaks it: each node uses the next holder with a higher number, whatever the distance, and the master
 * where there is none. That is a mistake one makes with node numbers, and no table is wrong by it.
 */
import { overlay, plugin } from "@kreplica/di";
import { ReplicaView } from "@kreplica/mm-core/api";

/** For a list of plugins, beside the policy, whose view gets another `nearest`. */
export const ascendingHolders = plugin("ascending-holders", [
  overlay(ReplicaView, (view) => {
    view.nearest = (node) => view.holders.find((holder) => holder >= node) ?? view.master;
    return view;
  }),
]);
