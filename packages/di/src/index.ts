/**
 * Plugins, tokens and their assembly: the only file in kreplica that names tsyringe, so that `reflect-metadata` is
 * loaded first and tokens carry the type of what they stand for.
 *
 * Why a wrapper: see docs/decisions/001-di.md. Whole interface: token, inject, injectable, bind, bindValue,
 * bindFactory, overlay, plugin, override, assemble, AssemblyError.
 */
import "reflect-metadata";
import { container, inject as tsyringeInject, injectable as tsyringeInjectable } from "tsyringe";

declare const carries: unique symbol;

/** A name for one implementation of `T` in an assembly; declare it beside the interface, under the same name. */
export interface Token<T> {
  /** `package/Interface`, as printed in errors. */
  readonly id: string;
  /** Equal in two copies of the package, so that they agree on the token. */
  readonly key: symbol;
  readonly [carries]?: (value: T) => T;
}

/** What a compile error shows when a token does not fit: the token gives `Given`, the code asks for `Wanted`. */
export interface TokenMismatch<Given, Wanted> {
  readonly given: Given;
  readonly wanted: Wanted;
}

/** A class, whatever it takes. */
type Constructor<T = unknown> = new (...parameters: never[]) => T;
/** What a class takes at one place. */
type Parameter<C extends Constructor, I extends number> = ConstructorParameters<C>[I];
/** The place, where a token's interface fits what the class takes there; else a type that shows why not. */
type Fits<T, C extends Constructor, I extends number> = [T] extends [Parameter<C, I>]
  ? I
  : TokenMismatch<T, Parameter<C, I>>;

/** Makes the token of an interface. @param id `package/Interface`, unique in an assembly */
export const token = <T>(id: string): Token<T> => ({ id: `kreplica/${id}`, key: Symbol.for(`kreplica/${id}`) });

const wantsOf = new Map<unknown, { index: number; wanted: Token<unknown> }[]>();

/**
 * Constructor parameter decorator: this parameter is what the assembly binds to `wanted`. Needed on every parameter.
 */
export function inject<T>(wanted: Token<T>) {
  return <C extends Constructor, I extends number>(target: C, _key: undefined, index: I & Fits<T, C, I>): void => {
    const wants = wantsOf.get(target) ?? [];
    wants.push({ index: index as number, wanted: wanted as Token<unknown> });
    wantsOf.set(target, wants);
    tsyringeInject(wanted.key)(target as never, undefined, index as number);
  };
}

/**
 * Which copy of this package decorated a class. What a class wants is known to that copy alone, and so it is with
 * tsyringe; the list itself is one for all copies of a process, so that an assembly can tell a class of another copy
 * from one without decorators.
 */
const THIS_COPY = {};
const COPIES = Symbol.for("kreplica/di/copies");
const shared = globalThis as { [COPIES]?: WeakMap<object, object> };
const decoratedBy: WeakMap<object, object> = (shared[COPIES] ??= new WeakMap<object, object>());

/** Class decorator: the class may be bound. It registers nothing by itself. */
export const injectable =
  () =>
  <C extends Constructor>(target: C): void => {
    decoratedBy.set(target, THIS_COPY);
    tsyringeInjectable()(target as never);
  };

/**
 * What an assembly binds to a token, built now if it was not yet.
 * @throws AssemblyError when no plugin provides it, or when it is being built already
 */
export type Get = <T>(wanted: Token<T>) => T;

/**
 * One token and what stands for it, or over it. Made by {@link bind}, {@link bindValue}, {@link bindFactory} and {@link
 * overlay}.
 */
export interface Binding {
  readonly token: Token<unknown>;
  readonly make:
    | { readonly class: Constructor }
    | { readonly value: unknown }
    | { readonly factory: (get: Get) => unknown }
    | { readonly overlay: (base: unknown, get: Get) => unknown };
}

/** Binds a class decorated with {@link injectable}; one object of it exists in each assembly. */
export const bind = <T>(to: Token<T>, implementation: Constructor<T>): Binding => ({
  token: to as Token<unknown>,
  make: { class: implementation },
});

/** Binds a ready value: a specification, a list, a function. */
export const bindValue = <T>(to: Token<T>, value: T): Binding => ({ token: to as Token<unknown>, make: { value } });

/**
 * Binds what a function makes, once in each assembly: for classes without decorators and for plain objects.
 * @param make may ask for other tokens by `get`
 */
export const bindFactory = <T>(to: Token<T>, make: (get: Get) => T): Binding => ({
  token: to as Token<unknown>,
  make: { factory: make },
});

/**
 * Puts something over what an assembly binds to a token: whoever wants the token gets what `make` returns, which was
 * given what stood there before. Several lie over each other in the order of the plugins.
 *
 * @param make takes the base, and `get` for other tokens; called once in each assembly
 */
export const overlay = <T>(over: Token<T>, make: (base: T, get: Get) => T): Binding => ({
  token: over as Token<unknown>,
  make: { overlay: make as (base: unknown, get: Get) => unknown },
});

/**
 * A named list of bindings: what a subsystem adds to an assembly. Plain data, so lists can be compared and replaced.
 */
export interface Plugin {
  readonly name: string;
  readonly bindings: readonly Binding[];
}

/** @param name the package or policy, as printed in errors */
export const plugin = (name: string, bindings: readonly Binding[]): Plugin => ({ name, bindings });

/** Every fault of a list of plugins at once: missing, duplicate and cyclic needs. */
export class AssemblyError extends Error {
  override readonly name = "AssemblyError";
  constructor(readonly faults: readonly string[]) {
    super(`cannot assemble:\n${faults.map((fault) => `  ${fault}`).join("\n")}`);
  }
}

const isOverlay = (binding: Binding): boolean => "overlay" in binding.make;

/** Tokens whose ids end alike, nearest first: what somebody may have meant. */
function nearTo(id: string, all: Iterable<string>): string {
  const tail = (of: string): string => of.split("/").at(-1)!.toLowerCase();
  const wanted = tail(id);
  const near = [...new Set(all)].filter(
    (each) => tail(each).includes(wanted) || wanted.includes(tail(each)) || distance(wanted, tail(each)) <= 2,
  );
  return near.length > 0 ? `; near it: ${near.sort().join(", ")}` : "";
}

/** Letters to insert, take out or change between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/**
 * The same plugins with other things in the place of some: each binding takes the place of the one of its token, where
 * that stands, so that the order of construction stays. Overlays of the token stay over it.
 *
 * @throws AssemblyError listing every token that no plugin binds, with those near it, and every one that is given twice
 */
export function override(plugins: readonly Plugin[], ...bindings: readonly Binding[]): Plugin[] {
  const faults: string[] = [];
  const bound = plugins.flatMap((each) => each.bindings.filter((binding) => !isOverlay(binding)));
  const given = new Map<symbol, Binding>();
  for (const binding of bindings) {
    const { id, key } = binding.token;
    if (isOverlay(binding)) faults.push(`${id} is overridden by an overlay: put overlays into a plugin`);
    else if (given.has(key)) faults.push(`${id} is overridden twice`);
    else if (!bound.some((each) => each.token.key === key))
      faults.push(
        `nothing to override: no plugin binds ${id}${nearTo(
          id,
          bound.map((each) => each.token.id),
        )}`,
      );
    given.set(key, binding);
  }
  if (faults.length > 0) throw new AssemblyError(faults);
  return plugins.map((each) =>
    plugin(
      each.name,
      each.bindings.map((binding) => (isOverlay(binding) ? binding : (given.get(binding.token.key) ?? binding))),
    ),
  );
}

/** One machine with its kernel, wired. */
export interface Assembly {
  /** The tokens that can be asked for, in the order in which they were built. */
  readonly tokens: readonly Token<unknown>[];
  /** @throws AssemblyError when no plugin of the assembly provides it */
  get<T>(wanted: Token<T>): T;
  /**
   * As {@link get}; undefined when no plugin of the assembly provides it: for whoever looks at kernels with and without
   * a subsystem.
   */
  find<T>(wanted: Token<T>): T | undefined;
}

/** A binding, and the plugin it came in. */
interface Owner {
  readonly plugin: string;
  readonly binding: Binding;
}

/**
 * Checks the plugins, then builds every binding once, each after what it wants, otherwise in the order of the list:
 * construction order is part of the model. Nothing is shared with any other assembly. What a factory or an overlay
 * wants is known only when it asks: it is built then.
 *
 * @throws AssemblyError listing every missing, duplicate or cyclic need of classes and every overlay of what nobody
 *   binds, before anything is built;
 *   or naming what a factory or an overlay asked for that nobody binds, or that was being built
 */
export function assemble(plugins: readonly Plugin[]): Assembly {
  const faults: string[] = [];
  const owners = new Map<symbol, Owner>();
  const overlays = new Map<symbol, Owner[]>();
  for (const { name, bindings } of plugins) {
    for (const binding of bindings) {
      if (isOverlay(binding)) {
        overlays.set(binding.token.key, [...(overlays.get(binding.token.key) ?? []), { plugin: name, binding }]);
        continue;
      }
      const other = owners.get(binding.token.key);
      if (other) faults.push(`${name} binds ${binding.token.id}, which ${other.plugin} binds already`);
      else owners.set(binding.token.key, { plugin: name, binding });
    }
  }
  const wants = (binding: Binding): Token<unknown>[] =>
    "class" in binding.make ? (wantsOf.get(binding.make.class) ?? []).map((want) => want.wanted).reverse() : [];
  for (const { plugin: name, binding } of owners.values()) {
    if ("class" in binding.make && binding.make.class.length > wants(binding).length) {
      const copy = decoratedBy.get(binding.make.class);
      faults.push(
        copy && copy !== THIS_COPY
          ? `${name}: ${binding.make.class.name} comes from a package that uses another copy of @kreplica/di: two copies are installed; "npm ls @kreplica/di" shows where, "npm dedupe" or one version for all of @kreplica makes it one`
          : `${name}: ${binding.make.class.name} has a constructor parameter without @inject`,
      );
    }
    for (const want of wants(binding)) {
      if (!owners.has(want.key)) faults.push(`${name} needs ${want.id}, which no plugin provides`);
    }
  }
  for (const [key, over] of overlays) {
    const { id } = over[0]!.binding.token;
    if (!owners.has(key))
      faults.push(
        `${over[0]!.plugin} lays something over ${id}, which no plugin provides${nearTo(
          id,
          [...owners.values()].map((each) => each.binding.token.id),
        )}`,
      );
  }
  const order: Owner[] = [];
  const state = new Map<symbol, "open" | "done">();
  const visit = (binding: Binding, path: readonly string[]): void => {
    const here = [...path, binding.token.id];
    if (state.get(binding.token.key) === "done") return;
    if (state.get(binding.token.key) === "open") {
      faults.push(`cycle: ${here.slice(here.indexOf(binding.token.id)).join(" -> ")}`);
      return;
    }
    state.set(binding.token.key, "open");
    for (const want of wants(binding)) {
      const owner = owners.get(want.key);
      if (owner) visit(owner.binding, here);
    }
    state.set(binding.token.key, "done");
    order.push(owners.get(binding.token.key)!);
  };
  for (const { binding } of owners.values()) visit(binding, []);
  if (faults.length > 0) throw new AssemblyError([...new Set(faults)]);

  // A child container that registers everything itself: a parent's registrations would leak between machines.
  const child = container.createChildContainer();
  const built = new Map<symbol, unknown>();
  const tokens: Token<unknown>[] = [];
  const open: Token<unknown>[] = [];
  const getFor =
    (asking: string): Get =>
    <T>(wanted: Token<T>): T => {
      const owner = owners.get(wanted.key);
      if (!owner) throw new AssemblyError([`${asking} needs ${wanted.id}, which no plugin provides`]);
      return valueOf(owner) as T;
    };
  const valueOf = (owner: Owner): unknown => {
    const { token: of, make } = owner.binding;
    if (built.has(of.key)) return built.get(of.key);
    const again = open.findIndex((each) => each.key === of.key);
    if (again !== -1)
      throw new AssemblyError([`cycle: ${[...open.slice(again), of].map((each) => each.id).join(" -> ")}`]);
    open.push(of);
    let value =
      "class" in make
        ? child.resolve<unknown>(make.class as never)
        : "factory" in make
          ? make.factory(getFor(owner.plugin))
          : "value" in make
            ? make.value
            : undefined;
    for (const { plugin: name, binding } of overlays.get(of.key) ?? []) {
      if ("overlay" in binding.make) value = binding.make.overlay(value, getFor(name));
    }
    open.pop();
    built.set(of.key, value);
    tokens.push(of);
    return value;
  };
  for (const owner of owners.values()) child.register(owner.binding.token.key, { useFactory: () => valueOf(owner) });
  for (const owner of order) valueOf(owner);
  return {
    tokens,
    get<T>(wanted: Token<T>): T {
      if (!built.has(wanted.key)) throw new AssemblyError([`nobody provides ${wanted.id}`]);
      return built.get(wanted.key) as T;
    },
    find<T>(wanted: Token<T>): T | undefined {
      return built.get(wanted.key) as T | undefined;
    },
  };
}
