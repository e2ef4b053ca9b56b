/** A run as a line of time: stretches one behind the other, each in one function, with the cycles that it took. */

/** What a stretch's cycles are told apart by, in this order. */
export const STRETCH_PARTS = ["instructions", "far text", "other text", "rest"] as const;
const PARTS = STRETCH_PARTS.length;
const INSTRUCTIONS = 0;

/** A run from its first cycle to its last. */
export interface TimeLine {
  /** Functions that ran, and what stands for one in brackets. */
  readonly names: readonly string[];
  /** Of each stretch its name's index. */
  readonly functions: Int32Array;
  /** `[stretch * STRETCH_PARTS.length + part]`: whole numbers of 1/1024, which add up to the run's cycles. */
  readonly cycles: Float64Array;
}

/** What a place belongs to: places from `start` on, so many; and what that is called. */
export interface TimedPlace {
  readonly name: string;
  readonly start: number;
  readonly places: number;
}

/** Behind so many stretches what is left is one: a long loop does the same again and again. */
export const MOST_STRETCHES = 1 << 16;
/** Name of that last one. */
export const REST_OF_RUN = "[rest of the run]";
const UNIT = 1024;

/** Told what a replay executes and what it is charged for, in order. */
export class TimeLineRecorder {
  private readonly numbers = new Map<string, number>();
  private readonly known = new Map<number, TimedPlace>();
  private functions = new Int32Array(1024);
  private lines = new Int32Array(1024);
  private cycles = new Float64Array(1024 * PARTS);
  private count = 0;
  private from = 0;
  private to = 0;
  /** Lines entered behind the last stretch, by function. */
  private readonly later = new Map<number, number>();
  private here = -1;

  /**
   * @param placed what a place belongs to
   * @param partOf which of {@link STRETCH_PARTS} a cause is in
   * @param nowhere what no text is charged with is called
   * @param most stretches
   */
  constructor(
    private readonly placed: (place: number) => TimedPlace,
    private readonly partOf: (cause: number) => number,
    private readonly nowhere: string,
    private readonly most = MOST_STRETCHES,
  ) {}

  /** Text is executed at a place, to the end of its line or of the jump out of it. */
  enter(place: number): void {
    if (place < this.from || place >= this.to) {
      let found = this.known.get(place);
      if (!found) this.known.set(place, (found = this.placed(place)));
      this.from = found.start;
      this.to = found.start + found.places;
      this.here = this.numberOf(found.name);
      if (this.count < this.most) this.begin(this.here);
      else if (this.count === this.most) this.begin(this.numberOf(REST_OF_RUN));
    }
    if (this.count > this.most) this.later.set(this.here, (this.later.get(this.here) ?? 0) + 1);
    else this.lines[this.count - 1]!++;
  }

  /** What the text entered last costs. */
  charge(cause: number, cycles: number): void {
    if (this.count === 0) this.begin(this.numberOf(this.nowhere));
    this.cycles[(this.count - 1) * PARTS + this.partOf(cause)]! += cycles;
  }

  /**
   * The line, once the run has ended. Which instructions of a function ran in which of its stretches is not recorded:
   * each stretch gets its share of lines entered.
   *
   * @param instructions cycles by place @param left by cause, what no text was charged with
   */
  finish(
    instructions: ReadonlyMap<number, number>,
    left: readonly (readonly [cause: number, cycles: number])[],
  ): TimeLine {
    const own = new Map<number, number>();
    for (const [place, cycles] of instructions) {
      const number = this.numberOf(this.placed(place).name);
      own.set(number, (own.get(number) ?? 0) + cycles);
    }
    const all = new Map(this.later);
    for (let at = 0; at < this.count; at++) {
      const number = this.functions[at]!;
      all.set(number, (all.get(number) ?? 0) + this.lines[at]!);
    }
    const entered = new Map<number, number>();
    const given = new Map<number, number>();
    for (let at = 0; at < this.count; at++) {
      const number = this.functions[at]!;
      const cycles = own.get(number);
      if (cycles === undefined) continue;
      const lines = (entered.get(number) ?? 0) + this.lines[at]!;
      entered.set(number, lines);
      const now = Math.floor((cycles * UNIT * lines) / Math.max(1, all.get(number)!)) / UNIT;
      this.cycles[at * PARTS + INSTRUCTIONS]! += now - (given.get(number) ?? 0);
      given.set(number, now);
    }
    // What ran behind the last stretch, and what was entered by no line of its own.
    let rest = 0;
    for (const [number, cycles] of own) rest += cycles - (given.get(number) ?? 0);
    if (rest > 0) {
      if (this.count <= this.most) this.begin(this.numberOf(this.nowhere));
      this.cycles[(this.count - 1) * PARTS + INSTRUCTIONS]! += rest;
    }
    if (left.length > 0) {
      this.begin(this.numberOf(this.nowhere));
      for (const [cause, cycles] of left) this.charge(cause, cycles);
    }
    return {
      names: [...this.numbers.keys()],
      functions: this.functions.slice(0, this.count),
      cycles: this.cycles.slice(0, this.count * PARTS),
    };
  }

  private numberOf(name: string): number {
    let number = this.numbers.get(name);
    if (number === undefined) this.numbers.set(name, (number = this.numbers.size));
    return number;
  }

  private begin(number: number): void {
    if (this.count === this.functions.length) {
      const [functions, lines, cycles] = [this.functions, this.lines, this.cycles];
      this.functions = new Int32Array(2 * functions.length);
      this.functions.set(functions);
      this.lines = new Int32Array(2 * lines.length);
      this.lines.set(lines);
      this.cycles = new Float64Array(2 * cycles.length);
      this.cycles.set(cycles);
    }
    this.functions[this.count++] = number;
  }
}
