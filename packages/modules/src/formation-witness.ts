/**
 * E3 seen as it happens: copies of an area are made after its last direct write and before it is sealed or can run.
 *
 * Afterwards the order no longer shows in any table, so this watches the calls. For tests and the checker.
 */
import { hex, PAGE } from "@kreplica/hw-x86/api";
import { type Finding, findingOf } from "@kreplica/invariants/api";
import type { KernelTables, ReplicaView } from "@kreplica/mm-core/api";
import type { Vmalloc, VmArea } from "@kreplica/vmalloc/api";
import { FORMATION_ORDER } from "./invariants.js";

/** What is watched. */
export interface FormationSubject {
  /** Two of its methods are replaced. */
  readonly vmalloc: Vmalloc;
  readonly tables: KernelTables;
  readonly view: ReplicaView;
}

/** @returns findings, which grow while the kernel goes on */
export function watchFormation({ vmalloc, tables, view }: FormationSubject): readonly Finding[] {
  const findings: Finding[] = [];
  const find = (detail: string): void => {
    findings.push(findingOf(FORMATION_ORDER, detail));
  };
  /** First page that some node may run, or may not write; undefined while the area is being made. */
  const sealed = (area: VmArea): string | undefined => {
    for (let page = 0; page < area.pages; page++) {
      const address = area.start + BigInt(page) * PAGE;
      for (const holder of view.holders) {
        const mapping = tables.lookup(holder, address);
        if (mapping && (mapping.executable || !mapping.writable))
          return `${hex(address)} is ${mapping.executable ? "executable" : "read-only"} on node ${holder}`;
      }
    }
    return undefined;
  };
  const { write, replicateAll } = vmalloc;
  vmalloc.write = (area, offset, bytes) => {
    const late = area.state === "replicated" ? "it has copies" : sealed(area);
    if (late !== undefined) find(`${hex(area.start)} + ${hex(offset)} is written directly when ${late}`);
    write.call(vmalloc, area, offset, bytes);
  };
  vmalloc.replicateAll = (areas) => {
    for (const area of areas) {
      const late = sealed(area);
      if (late !== undefined) find(`${hex(area.start)} is given copies when ${late}`);
    }
    return replicateAll.call(vmalloc, areas);
  };
  return findings;
}
