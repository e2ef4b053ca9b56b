/** What `assemble` promises: one object a machine, faults together, order of construction, nothing shared. */
import { expect, test, vi } from "vitest";
import { assemble, AssemblyError, bind, bindValue, inject, injectable, plugin, token } from "../src/index.js";

interface Clock { readonly ticks: number }
const Clock = token<Clock>("test/Clock");
interface Log { readonly lines: string[]; readonly clock: Clock }
const Log = token<Log>("test/Log");
const Name = token<string>("test/Name");
const built: string[] = [];

@injectable()
class CountingClock implements Clock {
  readonly ticks = 7;
  constructor() { built.push("clock"); }
}
@injectable()
class ClockLog implements Log {
  readonly lines: string[] = [];
  constructor(@inject(Clock) readonly clock: Clock, @inject(Name) readonly owner: string) { built.push("log"); }
}
const clock = plugin("clock", [bind(Clock, CountingClock)]);
const log = plugin("log", [bind(Log, ClockLog)]);
const name = plugin("name", [bindValue(Name, "a")]);
const faultsOf = (make: () => unknown): readonly string[] => {
  try { make(); } catch (error) { if (error instanceof AssemblyError) return error.faults; throw error; }
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
  expect(machine.tokens.map((each) => each.id)).toEqual(["kreplica/test/Clock", "kreplica/test/Name", "kreplica/test/Log"]);
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
  @injectable() class NeedsB { readonly a = 1; constructor(@inject(B) readonly b: { b: number }) {} }
  @injectable() class NeedsA { readonly b = 1; constructor(@inject(A) readonly a: { a: number }) {} }
  expect(faultsOf(() => assemble([plugin("ab", [bind(A, NeedsB), bind(B, NeedsA)])]))).toEqual([
    "cycle: kreplica/test/A -> kreplica/test/B -> kreplica/test/A",
  ]);
});

test("a parameter nobody decorated is a fault of the list, not a crash inside it", () => {
  @injectable() class Forgetful { constructor(readonly clock: Clock) {} }
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
  // @ts-expect-error the token of a Log does not fit a parameter that wants a Clock
  class Wrong { constructor(@inject(Log) readonly name: string) {} }
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
  const needed = other.token<number>("test/Needed"), made = other.token<object>("test/Made");
  class Foreign { constructor(readonly value: number) {} }
  other.inject(needed)(Foreign, undefined, 0 as never);
  other.injectable()(Foreign);
  class Bare { constructor(readonly value: number) {} }
  const faults = (implementation: new (value: number) => object): string => {
    try { assemble([plugin("mine", [bind(made, implementation as never), bindValue(needed, 7)])]); return "none"; } catch (error) { return (error as AssemblyError).faults.join(" | "); }
  };
  expect(faults(Foreign)).toMatch(/^mine: Foreign comes from a package that uses another copy of @kreplica\/di: two copies are installed; "npm ls @kreplica\/di" shows where/);
  expect(faults(Bare)).toBe("mine: Bare has a constructor parameter without @inject");
  expect((other.assemble([other.plugin("mine", [other.bind(made, Foreign as never), other.bindValue(needed, 7)])]).get(made) as Foreign).value).toBe(7);
});
