/** The layer of every package: an import goes to a strictly lower one. Read by the dependency rules and by the test that holds ARCHITECTURE.md to them. */
export const layers = {
  di: 0, elf: 0,
  "hw-x86": 1,
  "mm-core": 2,
  "numa-replication": 3, "set-memory": 3, efi: 3, vmalloc: 3,
  "text-patch": 4,
  modules: 5,
  bpf: 6,
  bench: 9,
};
