/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const loader = "src/loader.ts";
const test = "test/loader.test.ts";
const failures = "test/failures.test.ts";

export default [
  {
    promise: "a load that fails gives back what it took",
    file: loader,
    find: "      this.release(module, MEMORY_TYPES);\n      if (error instanceof VmallocError)",
    replace: "      if (error instanceof VmallocError)",
    test,
  },
  {
    promise: "copies are made before the first protection",
    file: loader,
    find: "    // No memory for copies is no reason to fail",
    replace: "    this.permissions.protect(module);\n    // No memory for copies is no reason to fail",
    test,
  },
  {
    promise: "copies are made after the last direct write",
    file: loader,
    find: "      this.make(module, file, layout, node);\n      this.form(module, node);",
    replace: "      this.form(module, node);\n      this.make(module, file, layout, node);",
    test,
  },
  {
    promise: "tables are sorted before they are copied",
    file: loader,
    find: "    sortTables(image);\n",
    replace: "    queueMicrotask(() => sortTables(image));\n",
    test,
  },
  {
    promise: "a load that is refused in its last step exports nothing",
    file: loader,
    find: "      this.form(module, node);\n    } catch",
    replace: "      this.host.symbols.add(module.exports);\n      this.form(module, node);\n    } catch",
    test: failures,
  },
  {
    promise: "a load that is refused is nobody's user",
    file: loader,
    find: "    module.uses = uses;\n",
    replace: "    module.uses = uses;\n    for (const used of uses) this.modules.get(used)?.users.add(module.name);\n",
    test: failures,
  },
  {
    promise: "a module that goes uses nobody any more",
    file: loader,
    find: "    for (const used of module.uses) this.modules.get(used)?.users.delete(module.name);\n",
    replace: "",
    test,
  },
  {
    promise: "a module's symbols go with it",
    file: loader,
    find: "    this.host.symbols.removeOwner(module.name);\n",
    replace: "",
    test,
  },
  {
    promise: "a module whose constants cannot be sealed goes",
    file: loader,
    find: "      this.remove(module);\n      throw error;",
    replace: "      throw error;",
    test: failures,
  },
  {
    promise: "what keeps addresses of a module may refuse while all is as it was",
    file: loader,
    find: '    this.leave(module, this.rangesOf(module, MEMORY_TYPES));\n    module.state = "going";\n    this.modules.delete(module.name);\n',
    replace:
      '    module.state = "going";\n    this.modules.delete(module.name);\n    this.leave(module, this.rangesOf(module, MEMORY_TYPES));\n',
    test: failures,
  },
  {
    promise: "pages of thunks go with their module",
    file: loader,
    find: "areas.push(...module.thunkPages.splice(0))",
    replace: "module.thunkPages.splice(0)",
    test: failures,
  },
  {
    promise: "per-CPU room comes back",
    file: loader,
    find: "    if (types === MEMORY_TYPES && module.percpu !== undefined) this.percpu.give(module.percpu);\n",
    replace: "",
    test,
  },
  {
    promise: "sites of init memory are forgotten with it",
    file: loader,
    find: "address >= start && address < end),\n    );\n    this.release",
    replace: "address >= end && address < start),\n    );\n    this.release",
    test: failures,
  },
  {
    promise: "all permissions of a module change with one shootdown",
    file: "src/strict-rwx.ts",
    find: "      this.setMemory.changeAll(changes);",
    replace: "      for (const each of changes) this.setMemory.changeAll([each]);",
    test,
  },
  {
    promise: "copies of what is sealed already are seen by the witness of formation",
    file: "src/formation-witness.ts",
    find: "      const late = sealed(area);\n",
    replace: "      const late = undefined as string | undefined;\n",
    test,
  },
];
