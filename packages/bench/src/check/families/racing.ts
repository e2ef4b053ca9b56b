/** An operation, and a CPU that reads in user mode between two table stores of it: it may fault, and may not reach a wrong frame (G5). */
import type { Frame } from "@kreplica/hw-x86";
import type { Operation, OperationFamily } from "../family.js";
import { placeText } from "../places.js";

export interface RacingOperation {
  readonly op: "racing"; readonly during: Operation;
  /** The reader comes right after this store of the operation, from 1. */
  readonly store: number;
  readonly cpu: number; readonly page: number;
}

export const racingFamily: OperationFamily<RacingOperation> = {
  name: "racing",
  seenByUsers: true,
  kinds: { racing: { weight: 6, fields: { during: "operation", store: "number", cpu: "number", page: "number" }, alone: true } },
  draw: (op, drawing) => ({ op, during: drawing.nested(), store: 1 + drawing.random(8), cpu: drawing.cpu(), page: drawing.place() }),
  describe: (o, other) => `${other(o.during)}; after its ${o.store}. table store CPU ${o.cpu} reads ${placeText(o.page)}`,
  simpler: (o) => [o.during],

  start(system) {
    const { parts, population, watch } = system;
    return {
      perform(o) {
        const cpu = system.cpu(o.cpu);
        const who = population.runningOn(cpu);
        const { cpu: other } = o.during as { readonly cpu?: number };
        if (!who || (other !== undefined && system.cpu(other) === cpu)) return system.perform(o.during);
        const address = system.address(o.page);
        const before = who.process.space.lookup(address)?.frame;
        let reached: Frame | undefined;
        watch.probeAt(o.store, () => {
          population.switcher.enterUser(cpu);
          const core = parts.machine.cpu(cpu);
          if (core.load(Number(address & 0xffff_ffffn), Number(address >> 32n)) === 0) reached = core.lastFrame;
          population.switcher.enterKernel(cpu);
        });
        population.probed.add(address >> 12n);
        system.perform(o.during);
        watch.stopProbe();
        if (!population.live.includes(who)) return;
        if (reached !== undefined) {
          const after = who.process.space.lookup(address)?.frame;
          const within = Number((address >> 12n) & 511n);
          if (![before, after].some((frame) => frame !== undefined && (frame === reached || frame + within === reached))) system.fail("G5", `during the operation CPU ${cpu} reached frame ${reached} for 0x${address.toString(16)}, which was mapped neither before nor after`);
        }
        // F4: after the operation the access comes to what it should, whatever the race left in the TLB.
        if (population.runningOn(cpu) === who) population.access(cpu, address, "read", 0);
      },
    };
  },
};
