/** Which modules come before which: from modules.dep, or from what the modules say themselves. */
import { ModuleError } from "./errors.js";

/** `nf-tables` and `nf_tables` are one module. */
export const moduleName = (path: string): string =>
  path
    .replace(/^.*\//, "")
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");

/**
 * modules.dep as depmod writes it: `path: dependency dependency`, each line with all it needs, nearest first.
 * @returns direct and indirect needs by module name
 */
export function readModulesDep(text: string): Map<string, string[]> {
  const needs = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1 || line.startsWith("#")) continue;
    needs.set(
      moduleName(line.slice(0, colon)),
      line
        .slice(colon + 1)
        .split(/\s+/)
        .filter((word) => word !== "")
        .map(moduleName),
    );
  }
  return needs;
}

/**
 * The wanted modules and all they need, each after what it needs; otherwise in the order given.
 * @throws ModuleError missing-dependency, dependency-cycle
 */
export function loadOrder(
  wanted: Iterable<string>,
  needsOf: (name: string) => readonly string[] | undefined,
): string[] {
  const order: string[] = [];
  const state = new Map<string, "open" | "done">();
  const visit = (name: string, path: readonly string[]): void => {
    if (state.get(name) === "done") return;
    if (state.get(name) === "open")
      throw new ModuleError("dependency-cycle", name, `needs itself: ${[...path, name].join(" -> ")}`);
    const needs = needsOf(name);
    if (!needs) throw new ModuleError("missing-dependency", path.at(-1) ?? name, `needs ${name}, which is not there`);
    state.set(name, "open");
    for (const need of needs) visit(need, [...path, name]);
    state.set(name, "done");
    order.push(name);
  };
  for (const name of wanted) visit(name, []);
  return order;
}
