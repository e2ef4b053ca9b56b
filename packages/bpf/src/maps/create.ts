/** Makes the map that a definition describes. */
import type { BpfMemory } from "../memory.js";
import type { MapDefinition } from "../object/program-type.js";
import { ArrayMap, ProgramArray } from "./array.js";
import { HashMap } from "./hash.js";
import { badShape, type BpfMap, LARGEST_MAP } from "./map.js";
import { RingBuffer } from "./ring.js";
import { PrefixTrie } from "./trie.js";

/** @param cpus CPUs of the machine @throws BpfError `map-bad-shape` */
export function createMap(definition: MapDefinition, memory: BpfMemory, cpus: number): BpfMap {
  const bytes =
    (definition.keyBytes + definition.valueBytes * (definition.kind.startsWith("percpu") ? cpus : 1) + 16) *
    Math.max(1, definition.entries);
  if (definition.kind !== "ringbuf" && bytes > LARGEST_MAP)
    badShape(definition, `about ${bytes} bytes; the model's maps have at most ${LARGEST_MAP}`);
  if (definition.kind === "ringbuf" && definition.entries > LARGEST_MAP)
    badShape(definition, `the model's maps have at most ${LARGEST_MAP} bytes`);
  switch (definition.kind) {
    case "array":
    case "percpu_array":
      return new ArrayMap(definition, memory, cpus);
    case "hash":
    case "percpu_hash":
    case "lru_hash":
      return new HashMap(definition, memory, cpus);
    case "lpm_trie":
      return new PrefixTrie(definition, memory);
    case "ringbuf":
      return new RingBuffer(definition, memory);
    case "prog_array":
      return new ProgramArray(definition, memory);
  }
}
