/** Tables that are loaded without a word to the switcher: what firmware calls and pokes of text once did. */
import { type Binding, overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import { SwitchMm, TableMemory } from "@kreplica/mm-core/api";

/** @param name of the tables that are loaded so, as they call themselves */
export const behindItsBack = (name: string): Binding =>
  overlay(SwitchMm, (switcher, get) => {
    const [machine, entries] = [get(Machine), get(TableMemory)];
    const left = new Map<number, { readonly cr3: bigint; readonly privilege: 0 | 3 }>();
    const [enter, leave] = [switcher.enterTemporary.bind(switcher), switcher.leaveTemporary.bind(switcher)];
    switcher.enterTemporary = (cpu, tables) => {
      if (tables.name !== name) return enter(cpu, tables);
      const core = machine.cpu(cpu);
      left.set(cpu, { cr3: core.cr3, privilege: core.privilege });
      core.privilege = 0;
      core.writeCr3(entries.cr3(tables.root(machine.nodeOfCpu(cpu))));
    };
    switcher.leaveTemporary = (cpu) => {
      const before = left.get(cpu);
      if (!before) return leave(cpu);
      left.delete(cpu);
      machine.cpu(cpu).writeCr3(before.cr3);
      machine.cpu(cpu).privilege = before.privilege;
    };
    return switcher;
  });
