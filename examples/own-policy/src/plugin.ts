/** Both policies for the command: `kreplica boot --plugin dist/src/plugin.js --policy above-1-gib`. */
import type { KreplicaPluginExport } from "@kreplica/bench";
import { onlyAbove, onlyOn } from "./policies.js";

const policies = [onlyAbove(1), onlyOn(0, 3)];

export default {
  policies: Object.fromEntries(policies.map((policy) => [policy.name, policy])),
} satisfies KreplicaPluginExport;
