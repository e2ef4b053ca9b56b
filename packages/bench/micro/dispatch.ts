/**
 * What indirection costs on a hot path: a direct call, one of several classes at a call site, and asking an assembly
 * each time.
 *
 * In packages/bench: npm run micro -- dispatch
 *
 * Measured (Node 20.20.2, 2 shared cores, ns a call): one to four classes 1.3 to 2.2, five 11.5, asking the assembly
 * 16.
 */
import { assemble, bindValue, plugin, token } from "@kreplica/di";
import { nanoseconds, report } from "./timing.js";

interface Lookup {
  lookup(page: number): number;
}
class A implements Lookup {
  private last = 0;
  lookup(page: number): number {
    this.last = page ^ this.last;
    return this.last & 7;
  }
}
class B implements Lookup {
  private last = 1;
  lookup(page: number): number {
    this.last = page ^ this.last;
    return this.last & 15;
  }
}
class C implements Lookup {
  private last = 2;
  lookup(page: number): number {
    this.last = page ^ this.last;
    return this.last & 31;
  }
}
class D implements Lookup {
  private last = 3;
  lookup(page: number): number {
    this.last = page ^ this.last;
    return this.last & 63;
  }
}
class E implements Lookup {
  private last = 4;
  lookup(page: number): number {
    this.last = page ^ this.last;
    return this.last & 127;
  }
}

const CALLS = 4_000_000;
/** A function of its own for each measurement: feedback of one must not reach another. */
const caller = (): ((parts: readonly Lookup[]) => void) =>
  new Function(
    "parts",
    `
  let sum = 0;
  for (let n = 0; n < ${CALLS}; n++) sum ^= parts[n % parts.length].lookup(n);
  return sum;
`,
  ) as (parts: readonly Lookup[]) => void;

const classes = [A, B, C, D, E];
for (const count of [1, 2, 4, 5]) {
  const run = caller();
  const parts = classes.slice(0, count).map((each) => new each());
  report(
    `${count} ${count === 1 ? "class" : "classes"} at the call site`,
    nanoseconds(CALLS, 7, () => run(parts)),
  );
}

const Part = token<Lookup>("micro/Part");
const assembly = assemble([plugin("micro", [bindValue<Lookup>(Part, new A())])]);
report(
  "assembly.get at every call",
  nanoseconds(CALLS, 5, () => {
    let sum = 0;
    for (let n = 0; n < CALLS; n++) sum ^= assembly.get(Part).lookup(n);
    if (sum === 12345) console.log(sum);
  }),
);
