/** What `assemble` promises: one object a machine, faults together, order of construction, nothing shared. */
import { expect, test, vi } from "vitest";
import {
  assemble,
  AssemblyError,
  bind,
  bindFactory,
  bindValue,
  inject,
  injectable,
  overlay,
  override,
  plugin,
  token,
} from "../src/index.js";

interface Clock {
  readonly ticks: number;
}
const Clock = token<Clock>("test/Clock");
interface Log {
  readonly lines: string[];
  readonly clock: Clock;
}
const Log = token<Log>("test/Log");
const Name = token<string>("test/Name");
const built: string[] = [];

@injectable()
class CountingClock implements Clock {
  readonly ticks = 7;
  constructor() {
    built.push("clock");
  }
}
@injectable()
class ClockLog implements Log {
  readonly lines: string[] = [];
  constructor(
    @inject(Clock) readonly clock: Clock,
    @inject(Name) readonly owner: string,
  ) {
    built.push("log");
  }
}
const clock = plugin("clock", [bind(Clock, CountingClock)]);
const log = plugin("log", [bind(Log, ClockLog)]);
const name = plugin("name", [bindValue(Name, "a")]);
const faultsOf = (make: () => unknown): readonly string[] => {
  try {
    make();
  } catch (error) {
    if (error instanceof AssemblyError) return error.faults;
    throw error;
  }
  return [];
};

test("one object a token within an assembly, another one in the next", () => {
  const [a, b] = [assemble([clock, log, name]), assemble([clock, log, name])];
  expect(a.get(Log).clock).toBe(a.get(Clock));
  expect(a.get(Log)).toBe(a.get(Log));
  expect(a.get(Log)).not.toBe(b.get(Log));
});

test("everything is built at once, needs before those who need them, parameters in their places", () => {
  built.length = 0;
  const machine = assemble([log, clock, name]);
  expect(built).toEqual(["clock", "log"]);
  expect(machine.tokens.map((each) => each.id)).toEqual([
    "kreplica/test/Clock",
    "kreplica/test/Name",
    "kreplica/test/Log",
  ]);
  expect((machine.get(Log) as ClockLog).owner).toBe("a");
});

test("missing and duplicate needs are told together", () => {
  expect(faultsOf(() => assemble([log, name, plugin("other", [bindValue(Name, "b")])]))).toEqual([
    "other binds kreplica/test/Name, which name binds already",
    "log needs kreplica/test/Clock, which no plugin provides",
  ]);
});

test("a cycle is named by its path", () => {
  const A = token<{ a: number }>("test/A");
  const B = token<{ b: number }>("test/B");
  @injectable()
  class NeedsB {
    readonly a = 1;
    constructor(@inject(B) readonly b: { b: number }) {}
  }
  @injectable()
  class NeedsA {
    readonly b = 1;
    constructor(@inject(A) readonly a: { a: number }) {}
  }
  expect(faultsOf(() => assemble([plugin("ab", [bind(A, NeedsB), bind(B, NeedsA)])]))).toEqual([
    "cycle: kreplica/test/A -> kreplica/test/B -> kreplica/test/A",
  ]);
});

test("a parameter nobody decorated is a fault of the list, not a crash inside it", () => {
  @injectable()
  class Forgetful {
    constructor(readonly clock: Clock) {}
  }
  const Thing = token<Forgetful>("test/Thing");
  expect(faultsOf(() => assemble([clock, plugin("f", [bind(Thing, Forgetful)])]))).toEqual([
    "f: Forgetful has a constructor parameter without @inject",
  ]);
});

test("asking for what nobody bound says which token", () => {
  expect(() => assemble([clock]).get(Log)).toThrow("nobody provides kreplica/test/Log");
});

test("tokens carry types", () => {
  // @ts-expect-error a number is no Clock
  bindValue(Clock, 3);
  // @ts-expect-error ClockLog is no Clock
  bind(Clock, ClockLog);
  class Wrong {
    constructor(
      // @ts-expect-error the token of a Log does not fit a parameter that wants a Clock
      @inject(Log) readonly name: string,
    ) {}
  }
  expect(Wrong).toBeDefined();
});

test("find gives what get gives, and nothing where get throws", () => {
  const [here, absent] = [token<number>("test/Here"), token<number>("test/Absent")];
  const assembly = assemble([plugin("p", [bindValue(here, 7)])]);
  expect(assembly.find(here)).toBe(7);
  expect(assembly.find(absent)).toBeUndefined();
  expect(() => assembly.get(absent)).toThrow("nobody provides kreplica/test/Absent");
});

test("a class of another copy of the package is told from one without decorators, and the fault says what to do", async () => {
  vi.resetModules();
  const other = await import("../src/index.js");
  expect(other.assemble).not.toBe(assemble);
  const needed = other.token<number>("test/Needed"),
    made = other.token<object>("test/Made");
  class Foreign {
    constructor(readonly value: number) {}
  }
  other.inject(needed)(Foreign, undefined, 0 as never);
  other.injectable()(Foreign);
  class Bare {
    constructor(readonly value: number) {}
  }
  const faults = (implementation: new (value: number) => object): string => {
    try {
      assemble([plugin("mine", [bind(made, implementation as never), bindValue(needed, 7)])]);
      return "none";
    } catch (error) {
      return (error as AssemblyError).faults.join(" | ");
    }
  };
  expect(faults(Foreign)).toMatch(
    /^mine: Foreign comes from a package that uses another copy of @kreplica\/di: two copies are installed; "npm ls @kreplica\/di" shows where/,
  );
  expect(faults(Bare)).toBe("mine: Bare has a constructor parameter without @inject");
  expect(
    (
      other
        .assemble([other.plugin("mine", [other.bind(made, Foreign as never), other.bindValue(needed, 7)])])
        .get(made) as Foreign
    ).value,
  ).toBe(7);
});

test("a factory is called once an assembly, and may ask for what stands later in the list", () => {
  const Total = token<{ readonly of: string }>("test/Total");
  let calls = 0;
  const total = plugin("total", [bindFactory(Total, (get) => ({ of: `${++calls}${get(Name)}` }))]);
  const machine = assemble([total, name]);
  expect(machine.get(Total)).toEqual({ of: "1a" });
  expect(machine.get(Total)).toBe(machine.get(Total));
  expect(machine.tokens.map((each) => each.id)).toEqual(["kreplica/test/Name", "kreplica/test/Total"]);
  expect(assemble([total, name]).get(Total)).toEqual({ of: "2a" });
});

test("a factory that asks for what nobody binds, or for itself, ends in an error that names both", () => {
  const A = token<number>("test/A"),
    B = token<number>("test/B");
  expect(faultsOf(() => assemble([plugin("p", [bindFactory(A, (get) => get(B))])]))).toEqual([
    "p needs kreplica/test/B, which no plugin provides",
  ]);
  expect(
    faultsOf(() => assemble([plugin("p", [bindFactory(A, (get) => get(B)), bindFactory(B, (get) => get(A))])])),
  ).toEqual(["cycle: kreplica/test/A -> kreplica/test/B -> kreplica/test/A"]);
});

test("an overlay gets what it stands before, whoever wants the token gets the overlay, and several lie over each other in order", () => {
  const louder = plugin("louder", [overlay(Name, (base) => `${base}!`)]);
  const machine = assemble([
    louder,
    log,
    clock,
    name,
    plugin("asks", [overlay(Name, (base, get) => `${base}${get(Clock).ticks}`)]),
  ]);
  expect(machine.get(Name)).toBe("a!7");
  expect((machine.get(Log) as ClockLog).owner).toBe("a!7");
  expect(machine.tokens).toHaveLength(3);
});

test("an overlay of what nobody binds is a fault that names what is near", () => {
  expect(
    faultsOf(() => assemble([clock, plugin("over", [overlay(token<Clock>("test/Clocks"), (base) => base)])])),
  ).toEqual(["over lays something over kreplica/test/Clocks, which no plugin provides; near it: kreplica/test/Clock"]);
  expect(faultsOf(() => assemble([clock, plugin("over", [overlay(Name, (base) => base)])]))).toEqual([
    "over lays something over kreplica/test/Name, which no plugin provides",
  ]);
});

test("an override takes the place of a binding, where that stands, and below its overlays", () => {
  built.length = 0;
  const louder = plugin("louder", [overlay(Name, (base) => `${base}!`)]);
  const plugins = override(
    [clock, log, name, louder],
    bindValue(Name, "b"),
    bindFactory(Clock, () => {
      built.push("mine");
      return { ticks: 1 };
    }),
  );
  expect(plugins.map((each) => each.name)).toEqual(["clock", "log", "name", "louder"]);
  const machine = assemble(plugins);
  expect(machine.get(Name)).toBe("b!");
  expect(machine.get(Log).clock.ticks).toBe(1);
  expect(built).toEqual(["mine", "log"]);
  expect(assemble([clock, log, name]).get(Name)).toBe("a");
});

test("an override of what nobody binds, of one token twice, and by an overlay are told together", () => {
  expect(
    faultsOf(() =>
      override(
        [clock, plugin("over", [overlay(Name, (base) => base)])],
        bindValue(token<Clock>("other/Clok"), { ticks: 2 }),
        bindValue(Clock, { ticks: 2 }),
        bindValue(Clock, { ticks: 3 }),
        bindValue(Name, "b"),
        overlay(Clock, (base) => base),
      ),
    ),
  ).toEqual([
    "nothing to override: no plugin binds kreplica/other/Clok; near it: kreplica/test/Clock",
    "kreplica/test/Clock is overridden twice",
    "nothing to override: no plugin binds kreplica/test/Name",
    "kreplica/test/Clock is overridden by an overlay: put overlays into a plugin",
  ]);
});
