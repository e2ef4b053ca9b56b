/** INVLPG that some CPUs, or some addresses, do not get: what two bugs are made of. */
import { type Binding, overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";

/** @param reaches whether a CPU with this PCID gives an address up */
export const someInvlpg = (reaches: (address: bigint, pcid: number) => boolean): Binding =>
  overlay(Machine, (machine) => {
    for (const id of machine.cpuIds) {
      const cpu = machine.cpu(id);
      const invlpg = cpu.invlpg.bind(cpu);
      cpu.invlpg = (address) => {
        if (reaches(address, cpu.pcid)) invlpg(address);
      };
    }
    return machine;
  });
