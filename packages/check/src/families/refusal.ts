/** Memory runs out: the n-th allocation from now is refused, whoever asks. */
import type { OperationFamily } from "../family.js";

export interface RefusalOperation {
  readonly op: "refuse";
  /** 1 is the next; 0 takes an earlier one back. */ readonly nth: number;
}

export const refusalFamily: OperationFamily<RefusalOperation> = {
  name: "refusal",
  kinds: { refuse: { weight: 2, fields: { nth: "number" }, alone: true } },
  draw: (op, drawing) => ({ op, nth: 1 + drawing.random(6) }),
  describe: (o) => `the ${o.nth}. allocation from now is refused`,
  start: (system) => ({
    perform(o) {
      const { allocator } = system.parts;
      system.refusedUntil = allocator.requests + o.nth;
      allocator.refuse(o.nth);
    },
  }),
};
