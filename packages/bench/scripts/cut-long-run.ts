/**
 * Cuts a long recording (42 MB) down to what the model of it needs (a few MB): a few of its stretches and all that
 * other CPUs did as they were recorded, and for every stretch which of them it resembles, which lines of data it
 * touched, stored to or loaded first, which pages changed their frame, and which text it ran that is in none of them.
 *
 *   npx esbuild scripts/cut-long-run.ts --bundle --platform=node --format=esm --alias:fzstd=./node_modules/fzstd/esm/index.mjs --outfile=/tmp/cut.mjs
 *   node /tmp/cut.mjs FULL.kt.zst System.map OUT   # writes OUT.kt and OUT.lines; compress both with zstd -19
 *
 * A stretch ends where the CPU enters a system call or switches stacks (__switch_to_asm). See
 * packages/replay/src/replay/long-run.ts for what is made of the result and docs/model.md for why it is right.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { Access, Kind, MARKER, Phase, TraceEncoder } from "@kreplica/trace";
import { readTraceFile } from "../src/inputs/trace-file.js";

const [full, systemMap, out] = process.argv.slice(2);
if (!full || !systemMap || !out) throw new Error("usage: cut-long-run FULL.kt.zst System.map OUT");

/** Instructions all templates may have together: about 1 MB compressed. */
const BUDGET = 6_000_000;
/** A line that so many of the stretches of one kind touch belongs to all of them: it keeps its address. */
const COMMON = 0.5;

const symbol = (name: string): number => {
  const line = readFileSync(systemMap, "utf8")
    .split("\n")
    .find((each) => each.split(" ")[2] === name);
  if (!line) throw new Error(`${systemMap} has no ${name}`);
  return Number.parseInt(line.slice(8, 16), 16);
};
const SYSCALL = symbol("entry_SYSCALL_64");
const SWITCH = symbol("__switch_to_asm");
const kinds = [symbol("copy_process"), symbol("do_exit"), symbol("rcu_do_batch")];

const PAGES_4G = 0x10_0000;
/** 48 bits of an address, as lines: exact in a double. */
const lineOf = (lo: number, hi: number): number => (hi & 0xffff) * 0x400_0000 + (lo >>> 6);

interface Stretch {
  kind: number;
  instructions: number;
  lines: number[];
  /** Lines whose first touch is a store. */ stored: Set<number>;
  text: Set<number>;
  bursts: number;
  maps: [page: number, frame: number, touch: number][];
  template: number;
}
const stretches: Stretch[] = [];

type Each = (kind: number, lo: number, hi: number, a: number, b: number, vcpu: number) => void;

/**
 * Calls `each` for every record of the measured CPU, `next` before the first record of every stretch, `other` for
 * kernel records of other CPUs.
 */
function walk(next: () => void, each: Each, other: Each): void {
  let vcpu = 0;
  let measured = -1;
  let user = true;
  readTraceFile(full!, (batch) => {
    for (let i = 0; i < batch.length; i++) {
      const kind = batch.kind[i]!;
      const lo = batch.lo[i]!;
      const hi = batch.hi[i]!;
      if (kind === Kind.Vcpu) vcpu = batch.a[i]!;
      else if (kind === Kind.Mark && batch.a[i]! >>> 16 === MARKER && (batch.a[i]! & 0xff) === Phase.Start) {
        measured = vcpu;
        next();
      } else if (vcpu === measured) {
        if (kind === Kind.Fetch) {
          const kernel = hi >= 0x8000_0000;
          if (kernel && hi === 0xffff_ffff && ((user && lo === SYSCALL) || lo === SWITCH)) next();
          user = !kernel;
        }
        each(kind, lo, hi, batch.a[i]!, batch.b[i]!, vcpu);
      } else if (measured >= 0 && (hi >= 0x8000_0000 || kind === Kind.Repeat))
        other(kind, lo, hi, batch.a[i]!, batch.b[i]!, vcpu);
    }
  });
}

let now!: Stretch;
let seen = new Set<number>();
let frames = new Map<number, number>();
/** What ran last is another CPU: the next record of one belongs to the same burst. */
let inBurst = false;
walk(
  () => {
    stretches.push(
      (now = {
        kind: kinds.length,
        instructions: 0,
        lines: [],
        stored: new Set(),
        text: new Set(),
        bursts: 0,
        maps: [],
        template: -1,
      }),
    );
    seen = new Set();
  },
  (kind, lo, hi, a, b) => {
    inBurst = false;
    const page = hi * PAGES_4G + (lo >>> 12);
    if (kind === Kind.Fetch) {
      now.instructions += a;
      // Text of the image; modules have none in a fork.
      if (hi === 0xffff_ffff && lo < 0xa000_0000 && b > 0)
        for (let line = lineOf(lo, hi); line <= lineOf((lo + b - 1) >>> 0, hi); line++) now.text.add(line);
      const which = hi === 0xffff_ffff ? kinds.indexOf(lo) : -1;
      if (which >= 0) now.kind = Math.min(now.kind, which);
    } else if (
      kind === Kind.FetchPage ||
      ((kind === Kind.Load || kind === Kind.Store) && (a & (Access.Io | Access.NewPage)) === Access.NewPage)
    ) {
      // As the schedule has it: 0 fetch, 1 load, 2 store.
      if (frames.get(page) !== b)
        now.maps.push([page, b, ((lo >>> 6) & 63) * 4 + (kind === Kind.FetchPage ? 0 : kind === Kind.Load ? 1 : 2)]);
      frames.set(page, b);
    }
    if ((kind === Kind.Load || kind === Kind.Store) && (a & Access.Io) === 0 && hi >= 0x8000_0000 && hi < 0xffff_fe00) {
      // Direct map, vmalloc and page descriptors: the image and the CPU's own areas lie where they lie.
      const first = lineOf(lo, hi);
      const last = (lo & 63) + (a & Access.SizeMask) > 64 ? first + 1 : first;
      for (let line = first; line <= last; line++) {
        if (seen.has(line)) continue;
        seen.add(line);
        now.lines.push(line);
        if (kind === Kind.Store) now.stored.add(line);
      }
    }
  },
  () => {
    if (!inBurst) now.bursts++;
    inBurst = true;
  },
);

const common = new Set<number>();
for (let kind = 0; kind <= kinds.length; kind++) {
  // Sub-kinds of "other" differ a lot: they are told apart by length to two digits.
  const groups = new Map<string, Stretch[]>();
  for (const each of stretches)
    if (each.kind === kind) {
      const key = kind === kinds.length ? each.instructions.toPrecision(2) : "";
      groups.set(key, [...(groups.get(key) ?? []), each]);
    }
  for (const group of groups.values()) {
    if (group.length < 32) continue;
    const count = new Map<number, number>();
    for (const each of group) for (const line of each.lines) count.set(line, (count.get(line) ?? 0) + 1);
    for (const [line, times] of count) if (times >= group.length * COMMON) common.add(line);
  }
}
for (const each of stretches) each.lines = each.lines.filter((line) => !common.has(line));

/**
 * How unlike a stretch and a template are; 0.01 is one percent of the instructions or of the lines. Another kind is
 * like 30 % more.
 */
const unlike = (a: Stretch, b: Stretch): number =>
  (a.kind === b.kind ? 0 : 0.3) +
  Math.abs(a.instructions - b.instructions) / Math.max(a.instructions, b.instructions) +
  Math.abs(a.lines.length - b.lines.length) / (20 + Math.max(a.lines.length, b.lines.length));

// Stretches within 3 % in instructions and 10 % in lines are alike. Of each group of them the most typical becomes a
// template, the groups that execute most first, until the budget is spent.
const groups = new Map<string, Stretch[]>();
for (const each of stretches) {
  const key = [
    each.kind,
    Math.round(Math.log(each.instructions) / Math.log(1.03)),
    Math.round(Math.log(each.lines.length + 20) / Math.log(1.1)),
  ].join("/");
  groups.set(key, [...(groups.get(key) ?? []), each]);
}
const executed = (group: readonly Stretch[]): number => group.reduce((sum, each) => sum + each.instructions, 0);
const typical = (group: readonly Stretch[]): Stretch => {
  const mean = (of: (each: Stretch) => number): number => group.reduce((sum, each) => sum + of(each), 0) / group.length;
  const middle: Stretch = {
    ...group[0]!,
    instructions: mean((each) => each.instructions),
    lines: Array<number>(Math.round(mean((each) => each.lines.length))),
  };
  return group.reduce((x, y) => (unlike(y, middle) < unlike(x, middle) ? y : x));
};
const templates: Stretch[] = [];
let spent = 0;
for (const group of [...groups.values()].sort((x, y) => executed(y) - executed(x))) {
  const chosen = typical(group);
  if (spent + chosen.instructions > BUDGET) continue;
  spent += chosen.instructions;
  templates.push(chosen);
}
for (const each of stretches) {
  let best = Infinity;
  templates.forEach((template, i) => {
    const far = unlike(each, template);
    if (far < best) {
      best = far;
      each.template = i;
    }
  });
}
templates.forEach((each, i) => {
  each.template = i;
});
const inTemplates = new Set(templates.flatMap((each) => [...each.text]));

// The templates, as recorded, with a marker between them; behind them all bursts of other CPUs.
interface Record {
  readonly kind: number;
  readonly lo: number;
  readonly hi: number;
  readonly a: number;
  readonly b: number;
  readonly vcpu: number;
  readonly frame: number | undefined;
}
const bursts: Record[][] = [];
const encoder = new TraceEncoder();
encoder.vcpu(2);
encoder.mark(0x5eed0201);
let index = -1;
let wanted = false;
frames = new Map();
const chosenAt = new Map(templates.map((each) => [stretches.indexOf(each), each]));
const order: number[] = [];
const framesOfOthers = new Map<number, Map<number, number>>();
inBurst = false;

/** Frame a CPU's page has, kept up. */
function frameOf(
  known: Map<number, number>,
  kind: number,
  lo: number,
  hi: number,
  a: number,
  b: number,
): number | undefined {
  const page = hi * PAGES_4G + (lo >>> 12);
  if (
    kind === Kind.FetchPage ||
    ((kind === Kind.Load || kind === Kind.Store) && (a & (Access.Io | Access.NewPage)) === Access.NewPage)
  )
    known.set(page, b);
  return known.get(page);
}

function write({ kind, lo, hi, a, b, frame }: Record): void {
  const address = (BigInt(hi) << 32n) | BigInt(lo);
  const physical = frame === undefined ? undefined : BigInt(frame);
  if (kind === Kind.Fetch) encoder.fetch(address, a, b, physical);
  else if (kind === Kind.Load || kind === Kind.Store) {
    if ((a & Access.Io) !== 0)
      encoder.access(kind === Kind.Store, address, a & Access.SizeMask, undefined, BigInt(b) << 12n);
    else encoder.access(kind === Kind.Store, address, a & Access.SizeMask, physical);
  } else if (kind === Kind.Repeat) encoder.repeat(a);
}

walk(
  () => {
    index++;
    wanted = chosenAt.has(index);
    if (wanted) {
      if (order.length > 0) encoder.mark(0x5eed0203);
      order.push(chosenAt.get(index)!.template);
    }
  },
  (kind, lo, hi, a, b) => {
    inBurst = false;
    const frame = frameOf(frames, kind, lo, hi, a, b);
    if (wanted) write({ kind, lo, hi, a, b, vcpu: 2, frame });
  },
  (kind, lo, hi, a, b, vcpu) => {
    if (!inBurst) bursts.push([]);
    inBurst = true;
    let own = framesOfOthers.get(vcpu);
    if (!own) framesOfOthers.set(vcpu, (own = new Map<number, number>()));
    bursts.at(-1)!.push({ kind, lo, hi, a, b, vcpu, frame: frameOf(own, kind, lo, hi, a, b) });
  },
);
for (const burst of bursts) {
  encoder.mark(0x5eed0203);
  let vcpu = -1;
  for (const record of burst) {
    if (record.vcpu !== vcpu) encoder.vcpu((vcpu = record.vcpu));
    write(record);
  }
}
encoder.vcpu(2);
encoder.mark(0x5eed0202);
encoder.end();
writeFileSync(`${out}.kt`, encoder.bytes());

// Templates are numbered in the order in which they stand in the file.
const number = new Map(order.map((template, i) => [template, i]));
const bytes: number[] = [..."KTRL2\n"].map((letter) => letter.charCodeAt(0));
const varint = (value: number): void => {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
};
const signed = (value: number): number => (value < 0 ? -value * 2 - 1 : value * 2);
const zigzag = (value: number): void => varint(signed(value));
varint(templates.length);
varint(bursts.length);
varint(stretches.length);
let lastPage = 0;
let lastFrame = 0;
for (const each of stretches) {
  varint(number.get(each.template)! * 2 + (templates[each.template] === each ? 1 : 0));
  varint(each.bursts);
  varint(each.maps.length);
  for (const [page, frame, touch] of each.maps) {
    const short = (page % 2 ** 36) + (page >= 2 ** 51 ? 2 ** 36 : 0); // 36 bits and the half
    zigzag(short - lastPage);
    zigzag(frame - lastFrame);
    varint(touch);
    lastPage = short;
    lastFrame = frame;
  }
  varint(each.lines.length);
  let last = 0;
  for (const line of each.lines) {
    varint(signed(line - last) * 2 + Number(each.stored.has(line)));
    last = line;
  }
  const text = [...each.text].filter((line) => !inTemplates.has(line));
  varint(text.length);
  last = 0;
  for (const line of text) {
    zigzag(line - last);
    last = line;
  }
}
writeFileSync(`${out}.lines`, Uint8Array.from(bytes));

const total = (of: (each: Stretch) => number): number => stretches.reduce((sum, each) => sum + of(each), 0);
console.log(
  `${stretches.length} stretches, ${templates.length} templates of ${spent} instructions; instructions ${total((each) => each.instructions)}, by templates ${total((each) => templates[each.template]!.instructions)}; ` +
    `lines ${total((each) => each.lines.length)}, by templates ${total((each) => templates[each.template]!.lines.length)}; common lines ${common.size}; maps ${total((each) => each.maps.length)}; ` +
    `bursts ${bursts.length}; text in no template ${total((each) => [...each.text].filter((line) => !inTemplates.has(line)).length)}`,
);
