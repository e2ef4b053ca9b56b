/**
 * Plugins, tokens and their assembly: the only file in kreplica that names tsyringe, so that `reflect-metadata` is
 * loaded first and tokens carry the type of what they stand for.
 *
 * Why a wrapper: see docs/decisions/001-di.md. Whole interface: token, inject, injectable, bind, bindValue, plugin,
 * assemble, AssemblyError.
 */
import "reflect-metadata";
import { container, inject as tsyringeInject, injectable as tsyringeInjectable, Lifecycle } from "tsyringe";

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
export interface TokenMismatch<Given, Wanted> { readonly given: Given; readonly wanted: Wanted }

/** A class, whatever it takes. */
type Constructor<T = unknown> = new (...parameters: never[]) => T;
/** What a class takes at one place. */
type Parameter<C extends Constructor, I extends number> = ConstructorParameters<C>[I];
/** The place, where a token's interface fits what the class takes there; else a type that shows why not. */
type Fits<T, C extends Constructor, I extends number> = [T] extends [Parameter<C, I>] ? I : TokenMismatch<T, Parameter<C, I>>;

/** Makes the token of an interface. @param id `package/Interface`, unique in an assembly */
export const token = <T>(id: string): Token<T> => ({ id: `kreplica/${id}`, key: Symbol.for(`kreplica/${id}`) });

const wantsOf = new Map<unknown, { index: number; wanted: Token<unknown> }[]>();

/** Constructor parameter decorator: this parameter is what the assembly binds to `wanted`. Needed on every parameter. */
export function inject<T>(wanted: Token<T>) {
  return <C extends Constructor, I extends number>(target: C, _key: undefined, index: I & Fits<T, C, I>): void => {
    const wants = wantsOf.get(target) ?? [];
    wants.push({ index: index as number, wanted: wanted as Token<unknown> });
    wantsOf.set(target, wants);
    tsyringeInject(wanted.key)(target as never, undefined, index as number);
  };
}

/**
 * Which copy of this package decorated a class. What a class wants is known to that copy alone, and so it is with tsyringe; the list itself is one for
 * all copies of a process, so that an assembly can tell a class of another copy from one without decorators.
 */
const THIS_COPY = {};
const COPIES = Symbol.for("kreplica/di/copies");
const shared = globalThis as { [COPIES]?: WeakMap<object, object> };
const decoratedBy: WeakMap<object, object> = (shared[COPIES] ??= new WeakMap<object, object>());

/** Class decorator: the class may be bound. It registers nothing by itself. */
export const injectable = () => <C extends Constructor>(target: C): void => {
  decoratedBy.set(target, THIS_COPY);
  tsyringeInjectable()(target as never);
};

/** One token and what stands for it. Made by {@link bind} and {@link bindValue}. */
export interface Binding {
  readonly token: Token<unknown>;
  readonly make: { readonly class: Constructor } | { readonly value: unknown };
}

/** Binds a class decorated with {@link injectable}; one object of it exists in each assembly. */
export const bind = <T>(to: Token<T>, implementation: Constructor<T>): Binding => ({
  token: to as Token<unknown>, make: { class: implementation },
});

/** Binds a ready value: a specification, a list, a function. */
export const bindValue = <T>(to: Token<T>, value: T): Binding => ({ token: to as Token<unknown>, make: { value } });

/** A named list of bindings: what a subsystem adds to an assembly. Plain data, so lists can be compared and replaced. */
export interface Plugin { readonly name: string; readonly bindings: readonly Binding[] }

/** @param name the package or policy, as printed in errors */
export const plugin = (name: string, bindings: readonly Binding[]): Plugin => ({ name, bindings });

/** Every fault of a list of plugins at once: missing, duplicate and cyclic needs. */
export class AssemblyError extends Error {
  override readonly name = "AssemblyError";
  constructor(readonly faults: readonly string[]) {
    super(`cannot assemble:\n${faults.map((fault) => `  ${fault}`).join("\n")}`);
  }
}

/** One machine with its kernel, wired. */
export interface Assembly {
  /** The tokens that can be asked for, in the order in which they were built. */
  readonly tokens: readonly Token<unknown>[];
  /** @throws AssemblyError when no plugin of the assembly provides it */
  get<T>(wanted: Token<T>): T;
  /** As {@link get}; undefined when no plugin of the assembly provides it: for whoever looks at kernels with and without a subsystem. */
  find<T>(wanted: Token<T>): T | undefined;
}

/**
 * Checks the plugins, then builds every binding once, each after what it wants, otherwise in the order of the list:
 * construction order is part of the model. Nothing is shared with any other assembly.
 *
 * @throws AssemblyError listing every missing, duplicate or cyclic need
 */
export function assemble(plugins: readonly Plugin[]): Assembly {
  const faults: string[] = [];
  const owners = new Map<symbol, { plugin: string; binding: Binding }>();
  for (const { name, bindings } of plugins) {
    for (const binding of bindings) {
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
      faults.push(copy && copy !== THIS_COPY
        ? `${name}: ${binding.make.class.name} comes from a package that uses another copy of @kreplica/di: two copies are installed; "npm ls @kreplica/di" shows where, "npm dedupe" or one version for all of @kreplica makes it one`
        : `${name}: ${binding.make.class.name} has a constructor parameter without @inject`);
    }
    for (const want of wants(binding)) {
      if (!owners.has(want.key)) faults.push(`${name} needs ${want.id}, which no plugin provides`);
    }
  }
  const order: Token<unknown>[] = [];
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
    order.push(binding.token);
  };
  for (const { binding } of owners.values()) visit(binding, []);
  if (faults.length > 0) throw new AssemblyError([...new Set(faults)]);

  // A child container that registers everything itself: a parent's registrations would leak between machines.
  const child = container.createChildContainer();
  for (const { binding } of owners.values()) {
    if ("class" in binding.make) {
      child.register(binding.token.key, { useClass: binding.make.class as never }, { lifecycle: Lifecycle.ContainerScoped });
    } else child.register(binding.token.key, { useValue: binding.make.value });
  }
  const built = new Map(order.map((each) => [each.key, child.resolve<unknown>(each.key)]));
  return {
    tokens: order,
    get<T>(wanted: Token<T>): T {
      if (!built.has(wanted.key)) throw new AssemblyError([`nobody provides ${wanted.id}`]);
      return built.get(wanted.key) as T;
    },
    find<T>(wanted: Token<T>): T | undefined { return built.get(wanted.key) as T | undefined; },
  };
}
