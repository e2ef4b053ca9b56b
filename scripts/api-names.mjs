/**
 * A TypeDoc plugin: modules are called as they are imported, `@kreplica/hw-x86/isa`, and not by the path of their
 * source.
 */
import { Converter } from "typedoc";

/** @param app TypeDoc's application */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const module of context.project.children ?? []) module.name = `@kreplica/${module.name.replace("/src", "")}`;
  });
}
