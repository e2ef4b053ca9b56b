/**
 * From an object to programs that can run: maps made, programs verified, references replaced by addresses, and, where a
 * place for code is given, compiled. Either everything is loaded or nothing stays behind.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { BpfError } from "./errors.js";
import { callHelper, type HelperHost } from "./helpers/implementations.js";
import { helperPrototype } from "./helpers/prototypes.js";
import type { CodePlace, Packs } from "./images-api.js";
import type { Outcome } from "./interpreter.js";
import { type Environment, Interpreter } from "./interpreter.js";
import type { Code } from "./isa/code.js";
import { CALL, CallKind, LD_IMM64, Pseudo } from "./isa/opcode.js";
import { compile } from "./jit/compile.js";
import type { ArrayMap } from "./maps/array.js";
import { ProgramArray } from "./maps/array.js";
import { createMap } from "./maps/create.js";
import type { BpfMap } from "./maps/map.js";
import { RingBuffer } from "./maps/ring.js";
import type { BpfMemory } from "./memory.js";
import type { BpfObject, ObjectProgram } from "./object/read-object.js";
import { type Verified, verify } from "./verify/verifier.js";

/** What programs run on. */
export interface BpfHost extends Omit<HelperHost, "map" | "memory"> {
  readonly memory: BpfMemory;
  /** CPUs of the machine: copies of values in per-CPU maps. */
  readonly cpus: number;
}
/** Where a loaded object's code, helpers and kernel functions are. */
export interface LoadOptions {
  /** Room for compiled code; without it programs run in the interpreter only. */
  readonly packs?: Packs;
  /** Address of a helper's entry in the model's kernel text; needed with `packs`. */
  helperAddress?(id: number): bigint | undefined;
  /** Names of the programs to load. Default: all. */
  readonly programs?: readonly string[];
  readonly privileged?: boolean;
  /** Stack that was never written may be read; see the verifier's request. */
  readonly staleStack?: boolean;
  readonly log?: boolean;
  /** Instructions the verifier follows at most, a program. */
  readonly limit?: number;
  /** Bytes of the context of programs of type syscall. */
  readonly contextBytes?: number;
}

/** One program, ready to run. */
export interface LoadedProgram {
  readonly name: string;
  readonly source: ObjectProgram;
  readonly verified: Verified;
  /** Addresses in place of map references: what runs. */
  readonly code: Code;
  /** What stands for the program in prog arrays: its machine code's address, or a word of memory. */
  readonly entry: bigint;
  /** Its machine code, when it was compiled. */
  readonly machineCode?: Uint8Array;
}

/** Slots of a prog array as compiled tail calls read them. */
const PROG_ARRAY = { count: 0, slots: 8 };

/** An object's maps and programs in one machine. */
export class LoadedObject implements Environment {
  readonly maps: readonly BpfMap[];
  readonly programs: readonly LoadedProgram[] = [];
  private readonly places: { place: CodePlace; packs: Packs }[] = [];
  private readonly words: bigint[] = [];
  private readonly helperHost: HelperHost & { rings(): Iterable<RingBuffer> };
  private loaded = true;

  /** @throws BpfError whatever map, verifier or compiler refuse; everything made until then is given back */
  constructor(
    readonly object: BpfObject,
    private readonly host: BpfHost,
    options: LoadOptions = {},
  ) {
    const maps: BpfMap[] = [];
    this.maps = maps;
    this.helperHost = {
      memory: host.memory,
      cpu: () => host.cpu(),
      node: () => host.node(),
      now: () => host.now(),
      random: () => host.random(),
      task: () => host.task(),
      trace: (line) => host.trace(line),
      map: (handle) => maps.find((map) => map.handle === handle),
      rings: () => maps.filter((map) => map instanceof RingBuffer),
    };
    try {
      for (const definition of object.maps) maps.push(createMap(definition, host.memory, host.cpus));
      for (const name of options.programs ?? object.programs.map((each) => each.name)) {
        const source = object.programs.find((each) => each.name === name);
        if (!source)
          throw new BpfError(
            "object-no-such-program",
            {},
            `the object has no program "${name}"; it has ${object.programs.map((each) => each.name).join(", ")}`,
          );
        (this.programs as LoadedProgram[]).push(this.prepare(source, options));
      }
    } catch (error) {
      this.unload();
      throw error;
    }
  }

  private prepare(source: ObjectProgram, options: LoadOptions): LoadedProgram {
    const verified = verify({
      code: source.code,
      type: source.type,
      maps: this.object.maps,
      lines: source.lines,
      log: options.log ?? false,
      privileged: options.privileged ?? true,
      staleStack: options.staleStack ?? false,
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(options.contextBytes === undefined ? {} : { contextBytes: options.contextBytes }),
    });
    const code = verified.code.slice();
    for (let i = 0; i < code.length; i++) {
      if (code.opcode[i] !== LD_IMM64) continue;
      const map = this.maps[code.imm[i]!];
      if (code.src[i] === Pseudo.MapIndex) code.setImm64(i, map!.handle);
      else if (code.src[i] === Pseudo.MapIndexValue)
        code.setImm64(i, (map as ArrayMap).values + BigInt(code.imm[i + 1]!));
      code.src[i] = Pseudo.None;
      i++;
    }
    const made = { name: source.name, source, verified, code };
    const packs = options.packs;
    if (!packs) {
      const entry = this.host.memory.allocate(8, `program ${source.name}`);
      this.words.push(entry);
      return { ...made, entry };
    }
    const request = {
      code,
      functions: verified.functions,
      stackBytes: verified.stackBytes,
      helperAddress: (id: number) => options.helperAddress?.(id),
      progArray: PROG_ARRAY,
    };
    // Helper calls are longer where the distance does not fit 32 bits, so the length is that of the first try or less.
    const place = packs.allocate(compile({ ...request, address: 0n }).bytes.length);
    this.places.push({ place, packs });
    const { bytes } = compile({ ...request, address: place.address });
    packs.write(place, bytes);
    return { ...made, entry: place.address, machineCode: bytes };
  }

  /** @throws BpfError `object-not-loaded` */
  program(name: string): LoadedProgram {
    const found = this.programs.find((each) => each.name === name);
    if (!found) throw new BpfError("object-not-loaded", {}, `no program "${name}" is loaded here`);
    return found;
  }
  map(name: string): BpfMap | undefined {
    return this.maps.find((each) => each.definition.name === name);
  }

  /** Puts a program into a slot of a prog array. @returns false when map or slot do not exist */
  setTail(map: string, slot: number, program: LoadedProgram | undefined): boolean {
    const array = this.map(map);
    return array instanceof ProgramArray && array.set(slot, program?.entry ?? 0n);
  }

  /** Runs a program in an interpreter on this object's memory. */
  interpret(
    program: LoadedProgram,
    context: bigint,
    budget?: number,
  ): { outcome: Outcome; result: bigint; executed: number } {
    if (!this.loaded)
      throw new BpfError("program-unloaded", { section: program.name }, "its object was unloaded; load it again");
    const machine = new Interpreter(this.host.memory, this);
    try {
      const outcome = machine.run(program.code, context, budget);
      return { outcome, result: machine.result, executed: machine.executed };
    } finally {
      machine.dispose();
    }
  }

  helper(id: number, r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint): bigint | undefined {
    return callHelper(this.helperHost, id, r1, r2, r3, r4, r5);
  }

  tailTarget(map: bigint, slot: number): Code | undefined {
    const array = this.maps.find((each) => each.handle === map);
    if (!(array instanceof ProgramArray) || slot >= array.definition.entries) return undefined;
    const word = this.host.memory.read(bytesAt(map + 8n + 8n * BigInt(slot), 8))!;
    const entry = new DataView(word.buffer).getBigUint64(0, true);
    return entry === 0n ? undefined : this.programs.find((each) => each.entry === entry)?.code;
  }

  /** Gives maps, code and words back. A second call does nothing. */
  unload(): void {
    this.loaded = false;
    for (const { place, packs } of this.places.splice(0)) packs.free(place);
    for (const word of this.words.splice(0)) this.host.memory.release(word);
    for (const map of (this.maps as BpfMap[]).splice(0)) map.release();
  }
}

/** Helpers that a program calls, by number, lowest first, with their names. */
export function helpersOf(code: Code): { id: number; name: string }[] {
  const ids = new Set<number>();
  for (let i = 0; i < code.length; i++) {
    if (code.opcode[i] === LD_IMM64) i++;
    else if (code.opcode[i] === CALL && code.src[i] === CallKind.Helper) ids.add(code.imm[i]!);
  }
  return [...ids].sort((a, b) => a - b).map((id) => ({ id, name: helperPrototype(id)?.name ?? "?" }));
}
