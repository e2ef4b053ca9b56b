/** Cells of a plan: each point made into what is measured, named by the digest of all it depends on. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86";
import { allFaults, didYouMean, InputError, whyNot } from "@kreplica/inputs";
import { extensions, findPolicy } from "@kreplica/kernel";
import { defaultPreset, preset } from "@kreplica/machines";
import { defaultDataNode, indexOf, type KernelJob, type Where } from "@kreplica/replay";
import { axesOf, canonicalText, type PlanText, type Point, pointsOf } from "@kreplica/sweep";
import { stemOf, testOf } from "@kreplica/trace";
import { guestNodes } from "../inputs/guest-nodes.js";
import { loadMachine } from "../inputs/machine/load.js";
import type { NamedKernels } from "../inputs/replay-kernel.js";
import { scheduleBeside, traceFile } from "../inputs/trace-file.js";
import { shippedTraces } from "../inputs/traces.js";
import { isFault, type Made, sound, stretched, withField } from "./machine-axes.js";
import { loadAt, placed, pressureAt } from "./place-axes.js";

/** One point of a plan, ready to be measured. */
export interface Cell {
  /** Digest of all it depends on, 64 hexadecimal digits. */
  readonly name: string;
  readonly point: Point;
  /** Equal for cells that share a replay. */
  readonly batch: string;
  readonly job: Omit<KernelJob, "spec"> & NamedKernels;
  readonly spec: MachineSpec;
  /** Other traffic on links and controllers, as `--load` has it; null on an idle machine. */
  readonly load: string | null;
  /** Where functions, pages and tables lie; null where they were linked, recorded and booted. */
  readonly layout: Layout | null;
  readonly file: string;
  readonly policy: string;
}

/** One of the layouts that `--layouts` draws. */
export interface Layout {
  readonly seed: number;
  /** From 1; 0 is where everything was linked. */
  readonly number: number;
}

/** What a plan says, by axis; `machine.FIELD` is any field of a machine. */
const AXES: Readonly<Record<string, string>> = {
  machine: "preset, or a file beside the plan",
  farOverNear: "latency of the image's node over the own node's",
  recording: "test that ships (fork-1, kill, ...), or a file beside the plan",
  recordedKernel: "System.map or kernel of recordings that do not ship",
  kernel: "kernel that is booted, a file beside the plan",
  policy: "who holds copies",
  cpu: "CPU that runs the test",
  masterNode: "node of the image",
  dataNode: "node of the test's data",
  levels: "4 or 5 levels of page tables",
  pti: "page-table isolation",
  work: "whether replication's own work is counted",
  load: "other traffic, as --load has it, or null",
  pressure: "MB/s that each core beside the CPU reads through its last-level cache, or null",
  layout: "number of a layout of functions, pages and tables, 0 as they were linked",
  layoutSeed: "draws other layouts",
  seed: "of all that is drawn",
};
export const AXIS_NAMES: readonly string[] = Object.keys(AXES);

export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** Thrown while a point is resolved, and told with its place in the plan. */
class PointFault extends Error {
  constructor(
    readonly axis: string,
    readonly reason: string,
    readonly remedy: string,
  ) {
    super(reason);
  }
}

/**
 * All cells of a plan, in its order.
 *
 * @param planFile beside which files lie that the plan names @param version of the code
 * @throws InputError with every fault, each with its line in the plan
 */
export function cellsOf(text: PlanText, planFile: string, version: string): readonly Cell[] {
  const { plan, faultAt } = text;
  const unknown = axesOf(plan).filter((axis) => !(axis in AXES) && !axis.startsWith("machine."));
  if (unknown.length > 0)
    throw allFaults(
      unknown.map((axis) =>
        faultAt(
          pathOf(plan, axis),
          "no such axis",
          didYouMean(axis, AXIS_NAMES, `axes are ${AXIS_NAMES.join(", ")} and machine.FIELD`),
        ),
      ),
    );
  const faults = new Map<string, ReturnType<typeof faultAt>>();
  const resolver = new Resolver(dirname(planFile), version, plan.inPart ?? false);
  const cells: Cell[] = [];
  for (const point of pointsOf(plan)) {
    try {
      cells.push(resolver.cell(point));
    } catch (error) {
      if (!(error instanceof PointFault)) throw error;
      const { axis, reason, remedy } = error;
      const path = valuePath(plan, axis, point);
      const key = JSON.stringify([path, reason]);
      if (!faults.has(key)) faults.set(key, faultAt(path, reason, remedy));
    }
  }
  if (faults.size > 0) throw allFaults([...faults.values()]);
  if (cells.length === 0) throw new InputError({ ...faultAt(["only"], "its filters leave no cell", "loosen them") });
  const first = new Map<string, Cell>();
  for (const cell of cells) {
    const before = first.get(cell.name);
    if (before)
      throw new InputError(
        faultAt(
          [],
          `two of its points are the same cell: ${JSON.stringify(before.point)} and ${JSON.stringify(cell.point)}`,
          "leave one of them out",
        ),
      );
    first.set(cell.name, cell);
  }
  return cells;
}

type Plan = PlanText["plan"];

function pathOf({ axes, together = [] }: Plan, axis: string): readonly PropertyKey[] {
  if (axis in axes) return ["axes", axis];
  const nth = together.findIndex((group) => axis in group);
  return nth < 0 ? [] : ["together", nth, axis];
}

function valuePath(plan: Plan, axis: string, point: Point): readonly PropertyKey[] {
  const path = pathOf(plan, axis);
  if (path.length === 0) return [];
  const values = path[0] === "axes" ? plan.axes[axis]! : plan.together![path[1] as number]![axis]!;
  return [...path, values.indexOf(point[axis]!)];
}

/** Makes points into cells; files are read once. */
class Resolver {
  private readonly machines = new Map<string, Made>();
  private readonly digests = new Map<string, string>();
  private readonly specDigests = new WeakMap<MachineSpec, { readonly all: string; readonly counting: string }>();
  private readonly shipped = new Map(shippedTraces().map((file) => [testOf(traceFile(file)).name, file]));

  constructor(
    private readonly folder: string,
    private readonly version: string,
    private readonly inPart: boolean,
  ) {}

  cell(point: Point): Cell {
    const { spec, where } = this.machine(point);
    const policy = this.word(point, "policy", "per-node");
    const found = findPolicy(policy);
    const misfit = "reason" in found ? found : found.unfit?.(spec);
    if (misfit) throw new PointFault("policy", misfit.reason, misfit.remedy);
    const file = this.recording(point);
    const [kernel, recordedKernel] = (["kernel", "recordedKernel"] as const).map((axis) => {
      const value = point[axis] ?? null;
      if (value === null) return undefined;
      return this.path(axis, this.word(point, axis, ""));
    });
    const levels = point["levels"] ?? 4;
    if (levels !== 4 && levels !== 5)
      throw new PointFault("levels", `${JSON.stringify(levels)} is no number of levels`, "write 4 or 5");
    if (levels === 5 && spec.virtualBits !== 57)
      throw new PointFault(
        "levels",
        `${spec.name} has addresses of ${spec.virtualBits} bits`,
        "leave 5 out, or set machine.virtualBits to 57",
      );
    const load = this.load(point, spec);
    const pressure = this.asOption("pressure", () => pressureAt(this.wholeOrNull(point, "pressure"), spec, where.cpu));
    const layout =
      (point["layout"] ?? null) === null
        ? null
        : { seed: this.whole(point, "layoutSeed", 1), number: this.whole(point, "layout", 0) };
    if (layout === null && (point["layoutSeed"] ?? null) !== null)
      throw new PointFault("layoutSeed", "means nothing without a layout", "give the plan an axis layout");
    const job = {
      ...(kernel === undefined ? {} : { kernel: { file: kernel } }),
      ...(recordedKernel === undefined
        ? {}
        : { recording: { kernel: recordedKernel, nodes: guestNodes(undefined, file) } }),
      where,
      pti: this.truth(point, "pti", true),
      levels: levels as 4 | 5,
      seed: this.whole(point, "seed", 1),
      work: this.truth(point, "work", true),
      ...(pressure === undefined ? {} : { pressure }),
    };
    const digests = this.digestsOf(spec);
    const shared = {
      version: this.version,
      ...job,
      kernel: kernel === undefined ? null : this.digest("kernel", kernel),
      recording:
        recordedKernel === undefined
          ? null
          : { kernel: this.digest("recordedKernel", recordedKernel), nodes: job.recording!.nodes },
      file: this.digest("recording", file),
      schedule: existsSync(scheduleBeside(file)) ? this.digest("recording", scheduleBeside(file)) : null,
      inPart: this.inPart,
      layout,
    };
    // Other cores read by the clock: how much of it passes depends on what everything costs. Layouts are priced alone.
    const machine = layout === null && pressure === undefined ? digests.counting : digests.all;
    return {
      name: sha256(canonicalText({ ...shared, machine: digests.all, policy, load })),
      batch: sha256(canonicalText({ ...shared, machine })),
      point,
      job,
      spec,
      load,
      layout,
      file,
      policy,
    };
  }

  private machine(point: Point): { readonly spec: MachineSpec; readonly where: Where } {
    const fields = Object.entries(point).filter(([axis]) => axis.startsWith("machine."));
    const key = JSON.stringify([
      point["machine"] ?? null,
      fields,
      point["farOverNear"] ?? null,
      point["cpu"] ?? null,
      point["masterNode"] ?? null,
    ]);
    const take = (axis: string, made: Made): MachineSpec => {
      if (isFault(made)) throw new PointFault(axis, made.reason, made.remedy);
      return made;
    };
    let spec = take("machine", this.named(point));
    for (const [axis, value] of fields) spec = take(axis, withField(spec, axis.slice("machine.".length), value));
    spec = take(fields.at(-1)?.[0] ?? "machine", sound(spec));
    const { cpu, masterNode } = this.place(point, spec);
    if (point["farOverNear"] !== undefined)
      spec = take(
        "farOverNear",
        stretched(
          spec,
          point["farOverNear"]!,
          indexOf(spec, spec.cpus.find(({ id }) => id === cpu)!.node),
          indexOf(spec, masterNode),
        ),
      );
    // One object for what is the same, so that it is digested once and sent to a worker once.
    const same = this.machines.get(key);
    if (same && !isFault(same)) spec = same;
    else this.machines.set(key, spec);
    const dataNode =
      (point["dataNode"] ?? null) === null ? defaultDataNode(spec, cpu) : this.whole(point, "dataNode", 0);
    if (!spec.nodes.some(({ id, memoryBytes }) => id === dataNode && memoryBytes > 0))
      throw new PointFault("dataNode", `${spec.name} has no node ${dataNode} with memory`, "choose one that has");
    return { spec, where: { cpu, masterNode, dataNode } };
  }

  private place(point: Point, spec: MachineSpec): Pick<Where, "cpu" | "masterNode"> {
    const asked = (axis: "cpu" | "masterNode"): number | undefined => this.wholeOrNull(point, axis);
    try {
      return placed({ cpu: asked("cpu"), masterNode: asked("masterNode") }, spec);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new PointFault(error.file === "--cpu" ? "cpu" : "masterNode", error.reason, error.remedy);
    }
  }

  /** What an option's reader says, told of the axis. */
  private asOption<T>(axis: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new PointFault(axis, error.reason, error.remedy);
    }
  }

  private load(point: Point, spec: MachineSpec): string | null {
    const value = point["load"] ?? null;
    if (value === null) return null;
    if (typeof value === "boolean") throw new PointFault("load", `${value} is no load`, `write ${AXES["load"]!}`);
    this.asOption("load", () => loadAt(String(value), spec));
    return String(value);
  }

  private named(point: Point): MachineSpec {
    const name = this.word(point, "machine", defaultPreset.name);
    const known = this.machines.get(name);
    if (known && !isFault(known)) return known;
    try {
      const isPreset = preset(name) !== undefined || extensions().machines.has(name);
      const isFile = !isPreset && /[/.]/.test(name) && !isAbsolute(name);
      const spec = loadMachine(isFile ? join(this.folder, name) : name);
      this.machines.set(name, spec);
      return spec;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new PointFault("machine", error.reason, error.remedy);
    }
  }

  private recording(point: Point): string {
    const name = this.word(point, "recording", "fork-1");
    const known = this.shipped.get(name);
    if (known !== undefined) return known;
    if (!/\.kt(\.zst)?$/.test(name))
      throw new PointFault(
        "recording",
        `no recording that ships is of ${JSON.stringify(name)}`,
        didYouMean(name, [...this.shipped.keys()]),
      );
    const file = this.path("recording", name);
    try {
      // Which test it is of is known before anything is measured.
      testOf(traceFile(file), (point["recordedKernel"] ?? null) !== null);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new PointFault("recording", `${stemOf(file)}: ${error.reason}`, error.remedy);
    }
    return file;
  }

  /** A file as the plan names it: from the plan's folder. @throws PointFault when it cannot be read */
  private path(axis: string, name: string): string {
    const file = isAbsolute(name) ? name : join(this.folder, name);
    this.digest(axis, file);
    return file;
  }

  private digest(axis: string, file: string): string {
    const known = this.digests.get(file);
    if (known !== undefined) return known;
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      const { reason, remedy } = whyNot(error, "name a file, from the plan's folder");
      throw new PointFault(axis, `${file} ${reason}`, remedy);
    }
    const digest = sha256(bytes);
    this.digests.set(file, digest);
    return digest;
  }

  private digestsOf(spec: MachineSpec): { readonly all: string; readonly counting: string } {
    let found = this.specDigests.get(spec);
    if (!found) {
      const { name: _n, description: _d, sources: _s, interconnectSource: _i, ...all } = spec;
      // No count depends on these: they are what the counted events cost. Unless a front end runs ahead: what it has
      // got by when is a question of latencies.
      const { latencyNs: _l, latencySpread: _sp, cacheToCacheNs: _c, costs, ...rest } = all;
      const counting = costs.frontEnd === undefined ? { ...rest, prefetchLines: costs.prefetchLines } : all;
      found = { all: sha256(canonicalText(all)), counting: sha256(canonicalText(counting)) };
      this.specDigests.set(spec, found);
    }
    return found;
  }

  private word(point: Point, axis: string, otherwise: string): string {
    const value = point[axis] ?? otherwise;
    if (typeof value === "string") return value;
    throw new PointFault(axis, `${JSON.stringify(value)} is no name`, `write ${AXES[axis]}`);
  }

  private truth(point: Point, axis: string, otherwise: boolean): boolean {
    const value = point[axis] ?? otherwise;
    if (typeof value === "boolean") return value;
    throw new PointFault(axis, `${JSON.stringify(value)} is neither true nor false`, "write one of them");
  }

  private wholeOrNull(point: Point, axis: string): number | undefined {
    return (point[axis] ?? null) === null ? undefined : this.whole(point, axis, 0);
  }

  private whole(point: Point, axis: string, otherwise: number): number {
    const value = point[axis] ?? otherwise;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
    throw new PointFault(axis, `${JSON.stringify(value)} is no whole number`, "write one of at least 0");
  }
}
