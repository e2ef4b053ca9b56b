/**
 * Kinds of kernel a check looks at: how many nodes, how deep the tables, and the one thing that some defects need to
 * show.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import { countText } from "@kreplica/inputs";
import {
  type BootOptions,
  type Kernel,
  kernelFrom,
  farMemory,
  lateMemory,
  type PolicyChoice,
  smallImage,
  smallMachine,
} from "@kreplica/kernel";
import type { KernelImage } from "@kreplica/mm-core";
import type { Configuration } from "@kreplica/series-as-posted";

/**
 * What is not as usual on a kernel.
 *
 * late memory: the last node's comes on line while the kernel runs; small node: node 1 has too little for copies, its
 * neighbours have room; far memory: all nodes' but the first one's lies in windows of frame numbers; boot CPU
 * elsewhere: the boot begins on node 1, the image lies on node 0; rodata=off and modules=off: the kernel's command line
 * and its configuration; KASAN without vmalloc: CONFIG_KASAN, but not CONFIG_KASAN_VMALLOC, with which the series takes
 * 4 levels alone.
 */
export const CONFIGURATIONS = {
  "small node": { fewest: 3, words: () => "node 1 has 8 MiB" },
  "boot CPU elsewhere": { fewest: 2, words: () => "boots on CPU 2 of node 1" },
  "rodata=off": { fewest: 2, words: () => "rodata=off" },
  "modules=off": { fewest: 2, words: () => "built without modules" },
  "KASAN without vmalloc": { fewest: 2, words: () => "KASAN without KASAN_VMALLOC" },
  "far memory": { fewest: 2, words: () => "memory from 16 TiB on but for node 0's" },
  "late memory": { fewest: 2, words: (nodes: number) => `memory of node ${nodes - 1} comes later` },
} as const satisfies Record<
  Configuration,
  { /** Nodes it takes. */ readonly fewest: number; readonly words: (nodes: number) => string }
>;
export type { Configuration };

/** Nodes a defect of a configuration takes to show: one whose memory comes later leaves two that hold copies. */
export const fewestNodes = (configuration: Configuration): number =>
  CONFIGURATIONS[configuration].fewest + (configuration === "late memory" ? 1 : 0);

/** What a checked kernel is booted as, beside its policy. */
export interface Kind {
  readonly nodes: number;
  readonly levels: 4 | 5;
  readonly pti: boolean;
  readonly kasan?: boolean | undefined;
  /** Memory is encrypted: entries have the bit that AMD's processors have for it, in place 51. */
  readonly encryption?: boolean | undefined;
  readonly configuration?: Configuration | undefined;
}

/** Nodes of the kernels that are drawn in turn where no number is asked for. */
const NODES = [2, 1, 3, 8];
/** With an image of full size, which boots in a second or two. */
const NODES_OF_FULL_SIZE = [2, 3];

/** What of a kind is given; all else is drawn in turn. */
export interface KindChoices {
  readonly nodes?: number | undefined;
  readonly levels?: 4 | 5 | undefined;
  readonly pti?: boolean | undefined;
  readonly kasan?: boolean | undefined;
  readonly encryption?: boolean | undefined;
  readonly lateMemory?: boolean | undefined;
  readonly farMemory?: boolean | undefined;
  readonly fullSize?: boolean | undefined;
}

/**
 * Every kind that the choices leave open, in the order they are drawn. A number of nodes is all the nodes there are:
 * memory of one comes later only where that is asked for, or where nothing is.
 */
export function kindsOf({
  nodes,
  levels,
  pti,
  kasan,
  encryption,
  lateMemory: late,
  farMemory: far,
  fullSize,
}: KindChoices): Kind[] {
  const configuration: Configuration | undefined = late ? "late memory" : far ? "far memory" : undefined;
  const usual = nodes === undefined && configuration === undefined;
  const counts = nodes !== undefined ? [nodes] : late ? [3] : far ? [2, 3, 8] : fullSize ? NODES_OF_FULL_SIZE : NODES;
  const shapes: readonly Pick<Kind, "nodes" | "configuration">[] = [
    ...counts.map((each) => ({ nodes: each, ...(configuration ? { configuration } : {}) })),
    ...(usual && !fullSize ? [{ nodes: 3, configuration: "late memory" } as const] : []),
  ];
  return shapes.flatMap((shape) =>
    (levels === undefined ? ([4, 5] as const) : [levels]).flatMap((depth) =>
      (pti === undefined ? [false, true] : [pti]).map((split): Kind => ({
        ...shape,
        levels: depth,
        pti: split,
        ...(kasan ? { kasan } : {}),
        ...(encryption ? { encryption } : {}),
      })),
    ),
  );
}

/** `2 nodes, 4 levels, KPTI off`, and what is not as usual. */
export const kindText = ({ nodes, levels, pti, kasan, encryption, configuration }: Kind): string =>
  `${countText(nodes, "node")}${configuration ? `, ${CONFIGURATIONS[configuration].words(nodes)}` : ""}, ${levels} levels, KPTI ${pti ? "on" : "off"}${kasan && configuration !== "KASAN without vmalloc" ? ", KASAN" : ""}${encryption ? ", encrypted memory" : ""}`;

/** A small kernel of a kind, or the user's, without any defect. */
export function kernelOf(policy: PolicyChoice, kind: Kind, image?: KernelImage): Kernel {
  const { spec: plain, ...late } = machineOf(kind);
  const spec = kind.encryption ? encrypting(plain) : plain;
  return kernelFrom({
    ...late,
    spec: image ? roomy(spec) : spec,
    policy,
    levels: kind.levels,
    pti: kind.pti,
    image: image ?? smallImage(),
    ...(kind.configuration === "KASAN without vmalloc"
      ? { kasan: "without vmalloc" }
      : kind.kasan
        ? { kasan: true }
        : {}),
    ...(kind.configuration === "boot CPU elsewhere" ? { bootCpu: 2 } : {}),
  });
}

/** The same machine of AMD's, with its memory encrypted. */
const encrypting = (spec: MachineSpec): MachineSpec => ({ ...spec, vendor: "amd", encryptionBit: 51 });

/** The same machine with room for a kernel of full size and its copies. */
const roomy = (spec: MachineSpec): MachineSpec => ({
  ...spec,
  nodes: spec.nodes.map((node) => ({ ...node, memoryBytes: 4 * node.memoryBytes })),
});

function machineOf({ nodes, levels, configuration }: Kind): Pick<BootOptions, "spec" | "offlineMemory"> {
  if (configuration === "late memory") return lateMemory(nodes - 1, levels);
  if (configuration === "far memory") return { spec: farMemory(nodes, levels) };
  const spec = smallMachine(nodes);
  return {
    spec:
      configuration === "small node"
        ? { ...spec, nodes: spec.nodes.map((node) => (node.id === 1 ? { ...node, memoryBytes: 8 * 2 ** 20 } : node)) }
        : spec,
  };
}
