/**
 * The layer of every package: an import goes to a strictly lower one. Read by the dependency rules and by the test that
 * holds ARCHITECTURE.md to them.
 */
export const layers = {
  di: 0,
  elf: 0,
  recordings: 0,
  report: 0,
  "hw-x86": 1,
  inputs: 1,
  "mm-core": 2,
  trace: 2,
  sweep: 2,
  machines: 2,
  invariants: 3,
  "numa-replication": 4,
  "set-memory": 4,
  efi: 4,
  vmalloc: 4,
  "text-patch": 5,
  modules: 6,
  "kernel-files": 7,
  bpf: 7,
  museum: 8,
  "series-as-posted": 8,
  kernel: 9,
  check: 10,
  replay: 10,
  explorer: 11,
  bench: 12,
};
