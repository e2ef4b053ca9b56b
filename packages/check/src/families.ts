/**
 * The list of operation families, and what a run needs of all of them: drawing, printing, reading back. A new family is
 * one line here.
 */
import type { Plugin } from "@kreplica/di";
import { DemandCopies, type KernelPolicy } from "@kreplica/kernel";
import { Drawing } from "./drawing.js";
import { aheadFamily } from "./families/ahead.js";
import { areaFamily } from "./families/areas.js";
import { borrowedTablesFamily } from "./families/borrowed-tables.js";
import { bpfFamily } from "./families/bpf.js";
import { cpuFamily } from "./families/cpus.js";
import { demandFamily } from "./families/demand.js";
import { encryptionFamily } from "./families/encryption.js";
import { fileFamily } from "./families/files.js";
import { entryTextFamily } from "./families/entry-text.js";
import { kernelPageFamily } from "./families/kernel-pages.js";
import { meetingFamily } from "./families/meetings.js";
import { memoryGoesFamily } from "./families/memory-goes.js";
import { moduleFamily } from "./families/modules.js";
import { patchingFamily } from "./families/patching.js";
import { protectionFamily } from "./families/protection.js";
import { processFamily } from "./families/processes.js";
import { racingFamily } from "./families/racing.js";
import { refusalFamily } from "./families/refusal.js";
import { userPageFamily } from "./families/user-pages.js";
import { type Field, type Kind, type Operation, type OperationFamily, RARE_EVERY } from "./family.js";

/** What can be done to any kernel. */
export const FAMILIES: readonly OperationFamily[] = [
  processFamily,
  userPageFamily,
  cpuFamily,
  kernelPageFamily,
  areaFamily,
  moduleFamily,
  patchingFamily,
  protectionFamily,
  entryTextFamily,
  refusalFamily,
  racingFamily,
  borrowedTablesFamily,
  bpfFamily,
  fileFamily,
];

/**
 * And what has a meaning under some policies or on some machines alone, or is of schedules: drawn where it has, done
 * wherever a saved run asks for it.
 */
export const ALL_FAMILIES: readonly OperationFamily[] = [
  ...FAMILIES,
  demandFamily,
  memoryGoesFamily,
  encryptionFamily,
  meetingFamily,
  aheadFamily,
];

/**
 * What is drawn on kernels under a policy.
 * @param usual what is drawn on all others
 * @param late whether a node of each has memory that comes later, and may go again
 * @param encrypted whether memory of each is encrypted
 */
export function familiesOn(
  { bindings }: KernelPolicy,
  usual: readonly OperationFamily[] = FAMILIES,
  late = false,
  encrypted = false,
): readonly OperationFamily[] {
  const more = [
    ...(usual === FAMILIES && bindings.some(({ token }) => token.key === DemandCopies.key) ? [demandFamily] : []),
    ...(late ? [memoryGoesFamily] : []),
    ...(encrypted ? [encryptionFamily] : []),
  ];
  return more.length > 0 ? [...usual, ...more] : usual;
}

/** One in this many draws is a scene. */
const SCENE_EVERY = 20;

/** Place in the list of the family that has an operation. @throws RangeError when two families claim one */
export function familyIndex(families: readonly OperationFamily[]): ReadonlyMap<string, number> {
  const index = new Map<string, number>();
  families.forEach((family, at) => {
    for (const op of Object.keys(family.kinds)) {
      if (index.has(op))
        throw new RangeError(
          `families ${families[index.get(op)!]!.name} and ${family.name} both have an operation ${op}`,
        );
      index.set(op, at);
    }
  });
  return index;
}

/** Plugins all families need, each once. */
export const pluginsOf = (families: readonly OperationFamily[]): readonly Plugin[] => [
  ...new Set(families.flatMap((family) => family.plugins ?? [])),
];

type Weighted = readonly [OperationFamily, string, Kind];
/** In a mix an operation is left out, comes as ever, or comes this many times as often. */
const OFTEN = 4;

/** A third of the operations left out, a third often; what may not lie in another is never all that is left. */
function mixed(from: readonly Weighted[], drawing: Drawing): readonly Weighted[] {
  const some = from.flatMap(([family, op, kind]): Weighted[] => {
    const times = [0, 1, OFTEN][drawing.random(3)]!;
    return times === 0 ? [] : [[family, op, { ...kind, weight: times * kind.weight }]];
  });
  return some.some(([, , kind]) => !kind.alone && kind.weight > 0) ? some : from;
}

/** Draws, prints and reads the operations of a list of families. */
export class Repertoire {
  private readonly index: ReadonlyMap<string, number>;
  private readonly weights: readonly (readonly [OperationFamily, string, Kind])[];
  private readonly usual: readonly (readonly [OperationFamily, string, Kind])[];
  private readonly scenes: readonly NonNullable<OperationFamily["scenes"]>[number][];
  private readonly usualScenes: typeof this.scenes;

  /** @param drawn families that runs are drawn from; all are told and read */
  constructor(
    private readonly families: readonly OperationFamily[] = FAMILIES,
    drawn: readonly OperationFamily[] = families,
  ) {
    this.index = familyIndex(families);
    this.weights = drawn.flatMap((family) =>
      Object.entries(family.kinds).map(([op, kind]) => [family, op, kind] as const),
    );
    this.usual = drawn.every(({ rare }) => rare) ? this.weights : this.weights.filter(([family]) => !family.rare);
    this.scenes = drawn.flatMap((family) => family.scenes ?? []);
    this.usualScenes =
      this.usual === this.weights ? this.scenes : drawn.flatMap(({ rare, scenes }) => (rare ? [] : (scenes ?? [])));
  }

  /**
   * The operations of one run.
   * @param seed of this run alone; the same gives the same list
   * @param beginning its first operations
   * @param mix whether some operations are left out of this run, and some come often
   */
  drawRun(seed: number, steps: number, beginning: readonly Operation[] = [], mix = false): Operation[] {
    let from = this.weights;
    const drawing = new Drawing(seed, (same) => this.drawOne(same, from, true));
    if (drawing.random(RARE_EVERY) !== 0) from = this.usual;
    const scenes = from === this.weights ? this.scenes : this.usualScenes;
    if (mix) from = mixed(from, drawing);
    const operations: Operation[] = [...beginning];
    while (operations.length < steps) {
      if (scenes.length > 0 && drawing.random(SCENE_EVERY) === 0) operations.push(...drawing.oneOf(scenes)(drawing));
      else operations.push(this.drawOne(drawing, from, false));
    }
    return operations.slice(0, steps);
  }

  private drawOne(drawing: Drawing, from: typeof this.weights, nested: boolean): Operation {
    const kinds = nested ? from.filter(([, , kind]) => !kind.alone) : from;
    let pick = drawing.random(kinds.reduce((sum, [, , kind]) => sum + kind.weight, 0));
    for (const [family, op, kind] of kinds) {
      if (pick < kind.weight) return family.draw(op, drawing);
      pick -= kind.weight;
    }
    throw new RangeError("no family has an operation to draw");
  }

  /** One line: `process 1 maps 2 pages at 0x200000, rw, on CPU 3`. Numbers are as drawn, before the modulo. */
  describe(operation: Operation): string {
    const at = this.index.get(operation.op);
    return at === undefined ? operation.op : this.families[at]!.describe(operation, (other) => this.describe(other));
  }

  /** What may take an operation's place while a counterexample is made smaller. */
  simpler(operation: Operation): readonly Operation[] {
    const fields = operation as Operation & Readonly<Record<string, number>>;
    const own = this.families[this.index.get(operation.op)!]!.simpler?.(operation) ?? [];
    const general = (["p", "cpu"] as const)
      .filter((field) => fields[field]! > 0)
      .map((field): Operation => ({ ...operation, [field]: 0 }));
    const onePage = { ...operation, pages: 1 };
    return [...own, ...general, ...(fields["pages"]! > 1 ? [onePage] : [])];
  }

  /** Whether what an operation does decides what a user sees. */
  isSeenByUsers(operation: Operation): boolean {
    return this.families[this.index.get(operation.op)!]?.seenByUsers === true;
  }

  /**
   * What is wrong with an operation that came from outside, each with its field, from the operation on.
   * @param suggest a remedy for a name that nothing has @param inner lies in another
   */
  faults(
    operation: Operation,
    suggest: (word: string, known: readonly string[]) => string = (_, known) => `use one of ${known.join(", ")}`,
    inner = false,
  ): readonly { readonly path: readonly string[]; readonly reason: string; readonly remedy: string }[] {
    const remedy = "give a file that `kreplica check --save` wrote";
    const { op, ...given } = operation as Operation & Readonly<Record<string, unknown>>;
    const at = this.index.get(op);
    if (at === undefined)
      return [
        {
          path: ["op"],
          reason: `there is no operation ${JSON.stringify(op)}`,
          remedy: suggest(op, [...this.index.keys()]),
        },
      ];
    const { fields, alone } = this.families[at]!.kinds[op]!;
    if (inner && alone) return [{ path: ["op"], reason: `${op} cannot lie in another operation`, remedy }];
    return [
      ...Object.keys(given)
        .filter((field) => !(field in fields))
        .map((field) => ({ path: [field], reason: `${op} has no such field`, remedy: "remove it" })),
      ...Object.entries(fields).flatMap(([field, wanted]) => {
        const value = given[field];
        if (wanted !== "operation")
          return fits(value, wanted)
            ? []
            : [
                {
                  path: [field],
                  reason: `${op} needs ${wordsOf(wanted)} there, not ${JSON.stringify(value) ?? "nothing"}`,
                  remedy,
                },
              ];
        if (typeof value !== "object" || value === null || typeof (value as Operation).op !== "string")
          return [
            { path: [field], reason: `${op} needs an operation there`, remedy: "put an object with a field op there" },
          ];
        return this.faults(value as Operation, suggest, true).map(({ path, ...rest }) => ({
          path: [field, ...path],
          ...rest,
        }));
      }),
    ];
  }
}

/** Beyond any number that is drawn; the largest is a store of an operation. */
const LARGEST = 0xffff;
const wordsOf = (wanted: Exclude<Field, "operation">): string =>
  wanted === "number"
    ? `a whole number from 0 to ${LARGEST}`
    : wanted === "boolean"
      ? "true or false"
      : `one of ${wanted.join(", ")}`;

function fits(value: unknown, wanted: Exclude<Field, "operation">): boolean {
  if (wanted === "number")
    return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= LARGEST;
  if (wanted === "boolean") return typeof value === "boolean";
  return typeof value === "string" && wanted.includes(value);
}

/** Of all families there are. */
export const repertoire = new Repertoire(ALL_FAMILIES, FAMILIES);
