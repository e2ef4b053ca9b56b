/**
 * Reads what `lstopo --of xml` writes, hwloc 1, 2 and 3:
 *
 *     <topology version="2.0">                                         hwloc 1 has no version
 *       <object type="Package" cpuset="0x000000ff">                    hwloc 1: Socket
 *         <object type="NUMANode" os_index="0" cpuset="..." local_memory="1073741824"/>
 *         <object type="L3Cache" cpuset="..." cache_size="..." cache_associativity="20"/>     hwloc 1: type="Cache" depth="3"
 *         <object type="Core"/> <object type="PU" os_index="0"/>
 *       <distances2 type="NUMANode" nbobjs="2" name="NUMALatency"> <indexes>0 1</indexes> <u64values>10 21 21 10</u64values>
 *       <memattr name="Latency"> <memattr_value target_obj_gp_index="8" value="90" initiator_cpuset="0x3"/>     hwloc 2.3: ns, MiB/s
 *       <distances nbobjs="2" latency_base="10.0"> <latency value="1.0"/> ...                  hwloc 1
 *
 * A cpuset is words of 32 bits, most significant first: 0x0000ffff,0xffffffff; 0xf...f begins one without end.
 *
 * @source hwloc 2 and 3, hwloc2.dtd and the manual's "Importing and exporting topologies from/to XML files"
 */
import { InputError, quoted } from "@kreplica/inputs";
import { type SaxesAttributePlain, SaxesParser } from "saxes";
import { AccountOf, type CacheName, cacheNameOf, MOST_CACHE, MOST_CPU, MOST_MEMORY, MOST_NODE } from "./account.js";
import { inUnits, MEMORY_ATTRIBUTES, type MemoryFigure, memoryFigure, ownersOf, seenFrom } from "./lstopo-memory.js";
import { vendorOf } from "./processor-names.js";

type Attributes = Readonly<Record<string, SaxesAttributePlain | string | undefined>>;

/** Whether the text is such a document. */
export const isLstopoXml = (text: string): boolean =>
  /^\uFEFF?\s*<(?:\?xml|!DOCTYPE topology|topology)/.test(text.slice(0, 4096));

const WHOLE = "give what `lstopo --of xml` writes, whole";
/** Objects within objects beyond this are no machine. */
const DEEPEST = 100;

/** A matrix that is being read. */
interface Matrix {
  readonly line: number;
  readonly size: number;
  readonly base: number;
  readonly indexes: string[];
  readonly values: string[];
}

/** @throws InputError naming the line */
export function readLstopoXml(source: string, file: string): AccountOf {
  const reader = new LstopoReader(file);
  const parser = new SaxesParser({ position: true });
  parser.on("error", (error) => {
    throw new InputError({
      file,
      line: parser.line,
      reason: error.message.replace(/^\d+:\d+: /, "").replace(/\.$/, ""),
      remedy: WHOLE,
    });
  });
  parser.on("opentag", ({ name, attributes }) => reader.open(name, attributes, parser.line));
  parser.on("closetag", ({ name }) => reader.close(name));
  parser.on("text", (text) => reader.text(text));
  parser.write(source.replace(/^\uFEFF/, "")).close();
  return reader.finish();
}

class LstopoReader {
  private readonly account: AccountOf;
  private readonly stack: string[] = [];
  private readonly inObjects: string[] = [];
  /** CPUs of the objects around, innermost last. */
  private readonly cpusets: (readonly number[])[] = [];
  private readonly nodes = new Set<number>();
  private readonly homes = new Map<number, { readonly cpus: readonly number[]; readonly line: number }>();
  /** CPUs of the nodes that have any of their own. */
  private owners: ReadonlyMap<number, readonly number[]> = new Map();
  private readonly cpus = new Set<number>();
  private readonly seen = new Set<CacheName>();
  private readonly matrices: Matrix[] = [];
  private matrix: Matrix | undefined;
  /** CPUs and node of objects by their number in the document. */
  private readonly numbered = new Map<
    string,
    { readonly cpus: readonly number[]; readonly node: number | undefined }
  >();
  private readonly figures: { readonly figure: MemoryFigure; readonly line: number }[] = [];
  private attribute: MemoryFigure["kind"] | undefined;
  private line = 0;

  constructor(private readonly file: string) {
    this.account = new AccountOf("lstopo XML", file);
  }

  open(name: string, attributes: Attributes, line: number): void {
    this.line = line;
    if (this.stack.length === 0 && name !== "topology") throw this.fault(name, "the document is no topology", WHOLE);
    if (this.stack.length > DEEPEST) throw this.fault(name, `nested deeper than ${DEEPEST}`, WHOLE);
    this.stack.push(name);
    const say = (key: string): string | undefined => {
      const value = attributes[key];
      return typeof value === "string" ? value : value?.value;
    };
    if (name === "object") this.object(say);
    else if (name === "memattr") this.attribute = MEMORY_ATTRIBUTES[say("name") ?? ""];
    else if (name === "memattr_value" && this.attribute)
      this.figures.push({ figure: memoryFigure(this.attribute, say), line });
    else if (name === "info") this.info(say("name"), say("value") ?? "");
    else if (name === "distances2" && say("type") === "NUMANode" && /latency/i.test(say("name") ?? "latency"))
      this.matrix = this.matrixOf(say("nbobjs"), 1);
    else if (name === "distances" && say("nbobjs") !== undefined)
      this.matrix = this.matrixOf(say("nbobjs"), Number(say("latency_base") ?? "1"));
    else if (name === "latency" && this.matrix) this.matrix.values.push(say("value") ?? "");
  }

  text(text: string): void {
    const words = text
      .trim()
      .split(/\s+/)
      .filter((word) => word !== "");
    if (this.stack.at(-1) === "indexes") this.matrix?.indexes.push(...words);
    if (this.stack.at(-1) === "u64values") this.matrix?.values.push(...words);
  }

  close(name: string): void {
    this.stack.pop();
    if (name === "object") {
      this.inObjects.pop();
      this.cpusets.pop();
    }
    if ((name === "distances2" || name === "distances") && this.matrix) {
      this.matrices.push(this.matrix);
      this.matrix = undefined;
    }
  }

  finish(): AccountOf {
    if (this.cpus.size === 0)
      throw new InputError({ file: this.file, reason: "no object of type PU: no CPU", remedy: WHOLE });
    this.account.say(
      "cpus",
      "",
      [...this.cpus].sort((a, b) => a - b),
      1,
    );
    this.owners = ownersOf(this.homes);
    for (const [id, { cpus, line }] of this.homes) {
      const own = this.owners.get(id) ?? [];
      this.account.say("nodeCpus", id, own, line);
      if (cpus.length > own.length)
        this.account.remark(`node ${id} is memory beside CPUs that are another node's: it has none of its own`);
    }
    for (const matrix of this.matrices) this.distances(matrix);
    for (const { figure, line } of this.figures) {
      this.line = line;
      this.memoryFigure(figure);
    }
    return this.account;
  }

  private object(say: (key: string) => string | undefined): void {
    const type = say("type") ?? "";
    const cpuset = say("cpuset");
    const cpus = cpuset === undefined ? (this.cpusets.at(-1) ?? []) : this.cpusOf(cpuset);
    this.inObjects.push(type);
    this.cpusets.push(cpus);
    const number = say("gp_index");
    if (number !== undefined)
      this.numbered.set(number, { cpus, node: type === "NUMANode" ? Number(say("os_index")) : undefined });
    const { account, line } = this;
    if (type === "PU") {
      const id = this.number("os_index", say("os_index"), MOST_CPU);
      if (this.cpus.has(id)) throw this.fault("os_index", `CPU ${id} is there twice`, WHOLE);
      this.cpus.add(id);
    } else if (type === "NUMANode") {
      const id = this.number("os_index", say("os_index"), MOST_NODE);
      if (this.nodes.has(id)) throw this.fault("os_index", `node ${id} is there twice`, WHOLE);
      this.nodes.add(id);
      this.homes.set(id, { cpus, line });
      const memory = say("local_memory");
      account.say("nodeMemory", id, memory === undefined ? 0 : this.number("local_memory", memory, MOST_MEMORY), line);
    } else if (type === "Package" || type === "Socket") account.group("packageOf", cpus, line);
    else if (type === "Core") account.group("coreOf", cpus, line);
    // A memory-side cache (Xeon Phi, Xeon Max) is before a node's memory, not behind a core; hwloc has had it as an L3.
    else if (/^(?:L\di?)?Cache$/.test(type) && say("subtype") !== "MemorySideCache") this.cache(type, say, cpus);
  }

  private cache(type: string, say: (key: string) => string | undefined, cpus: readonly number[]): void {
    const level = say("depth") ?? /\d/.exec(type)?.[0];
    const kind = say("cache_type");
    // 0 unified, 1 data, 2 instruction.
    const holds = kind === "2" || type === "L1iCache" ? "instructions" : "data";
    const name = level === undefined || (level === "2" && kind === "2") ? undefined : cacheNameOf(level, holds);
    if (!name) return;
    if (name === "l3") this.account.group("l3Of", cpus, this.line);
    if (this.seen.has(name)) return;
    this.seen.add(name);
    const size = say("cache_size");
    const bytes = size === undefined ? 0 : this.number("cache_size", size, MOST_CACHE);
    if (bytes > 0) this.account.say("cacheBytes", name, bytes, this.line);
    const ways = say("cache_associativity") ?? "0";
    // -1: fully associative, 0: not known.
    if (!/^-1$|^\d{1,4}$/.test(ways))
      throw this.fault("cache_associativity", `${quoted(ways)} is not a number of ways`, WHOLE);
    if (Number(ways) > 0) this.account.say("cacheWays", name, Number(ways), this.line);
  }

  private info(name: string | undefined, value: string): void {
    const { account, line } = this;
    if (this.inObjects.length > 2) return;
    const once = (kind: "family" | "model"): void => {
      if (/^\d{1,4}$/.test(value) && !account.facts.some((fact) => fact.kind === kind))
        account.say(kind, "", Number(value), line);
    };
    if (name === "Architecture" && !/^(?:x86_64|i[3-6]86|amd64)$/.test(value))
      throw this.fault(
        "Architecture",
        `${quoted(value)}: kreplica models x86-64 machines only`,
        "give the output of an x86-64 machine",
      );
    if (name === "CPUFamilyNumber") once("family");
    if (name === "CPUModelNumber") once("model");
    if (name === "CPUVendor" && !account.facts.some(({ kind }) => kind === "vendor")) {
      const vendor = vendorOf(value);
      if (vendor) account.say("vendor", "", vendor, line);
    }
  }

  private matrixOf(nbobjs: string | undefined, base: number): Matrix {
    const size = this.number("nbobjs", nbobjs, MOST_NODE + 1);
    if (!(base > 0 && base < 1e6)) throw this.fault("latency_base", `${base} is not a factor`, WHOLE);
    return { line: this.line, size, base, indexes: [], values: [] };
  }

  private distances({ line, size, base, indexes, values }: Matrix): void {
    this.line = line;
    const all = [...this.nodes].sort((a, b) => a - b);
    // hwloc 1 has no indexes: the nodes in order.
    const ids = indexes.length > 0 ? indexes.map((word) => this.number("indexes", word, MOST_NODE)) : all;
    if (ids.length !== size || values.length !== size * size)
      throw this.fault("distances", `${ids.length} indexes and ${values.length} values for ${size} nodes`, WHOLE);
    const figures = values.map((word) => {
      const value = /^\d{1,6}(?:\.\d{1,9})?$/.test(word) ? Math.round(Number(word) * base) : NaN;
      if (!(value >= 10 && value <= 255))
        throw this.fault("distances", `${quoted(word)} is not a distance`, "a distance is 10 to 255");
      return value;
    });
    for (const [i, from] of ids.entries())
      for (const [j, to] of ids.entries()) this.account.say("distance", `${from} ${to}`, figures[i * size + j]!, line);
  }

  private memoryFigure({ kind, target, value, cpuset, initiator }: MemoryFigure): void {
    const node = this.numbered.get(target)?.node;
    if (node === undefined) throw this.fault("target_obj_gp_index", `${quoted(target)} is no NUMANode`, WHOLE);
    const figure = this.number("value", value, 1e9);
    const cpus = cpuset !== undefined ? this.cpusOf(cpuset) : this.numbered.get(initiator ?? "")?.cpus;
    if (figure === 0 || !cpus) return;
    for (const id of seenFrom(this.owners, cpus))
      this.account.say(kind, `${id} ${node}`, inUnits(kind, figure), this.line);
  }

  private cpusOf(cpuset: string): number[] {
    const words = cpuset.split(",");
    if (words.length > (MOST_CPU + 1) / 32 || !words.every((word) => /^(?:0x[0-9a-fA-F]{1,8})?$/.test(word)))
      throw this.fault("cpuset", `${quoted(cpuset)} is not a set of CPUs from 0 to ${MOST_CPU}`, WHOLE);
    return words.reverse().flatMap((word, index) => {
      const bits = word === "" ? 0 : Number.parseInt(word, 16);
      return Array.from({ length: 32 }, (_, bit) => bit).flatMap((bit) =>
        (bits >>> bit) & 1 ? [index * 32 + bit] : [],
      );
    });
  }

  private number(field: string, text: string | undefined, most: number): number {
    if (text !== undefined && /^\d{1,15}$/.test(text) && Number(text) <= most) return Number(text);
    throw this.fault(
      field,
      text === undefined ? "missing" : `${quoted(text)} is not a number from 0 to ${most}`,
      WHOLE,
    );
  }

  private fault(field: string, reason: string, remedy: string): InputError {
    return new InputError({ file: this.file, line: this.line, field, reason, remedy });
  }
}
