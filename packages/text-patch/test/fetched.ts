/**
 * Everything one CPU can do that keeps what it has fetched: each position in the code, with each set of bytes it may
 * hold there. It goes on, or fetches again what it holds, whenever it likes; between two of its instructions others
 * write text.
 */
import type { PatchKernel } from "./kernel.js";
import type { Position, RunningCpu } from "./cpus.js";

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const keyOf = ({ rip, stack, held }: Position): string =>
  `${rip}/${stack.join(",")}/${held
    .map(({ address, bytes }) => `${address}:${hexOf(bytes)}`)
    .sort()
    .join(",")}`;

export class Explorer {
  /** What was executed at the site: a form's name, `trap`, or what should not be. */
  readonly seen = new Set<string>();
  states = 0;
  private reach = new Map<string, Position>();
  private events: number;

  /**
   * @param site instruction that is patched @param forms what it may be, by name: all of the same length
   * @param start where the CPU begins its loop
   */
  constructor(
    private readonly kernel: PatchKernel,
    private readonly cpu: RunningCpu,
    private readonly site: bigint,
    private readonly forms: Readonly<Record<string, Uint8Array>>,
    start: bigint,
  ) {
    this.events = this.serialisations;
    this.add({ rip: start, rsp: cpu.stack, stack: [], held: [] });
    this.explore();
  }

  private get serialisations(): number {
    return (this.kernel.machine.cpu(this.cpu.id) as unknown as { serialisations: number }).serialisations;
  }

  /**
   * From every position it can be in, all it can come to while memory is as it is. An interrupt taken since is waited
   * for, as text_poke_sync does: nobody is in a handler any more, and nothing fetched before is held.
   */
  explore(): void {
    if (this.serialisations !== this.events) {
      this.events = this.serialisations;
      const before = [...this.reach.values()];
      this.reach.clear();
      for (const position of before) {
        this.cpu.position = position;
        if (!this.cpu.trapped) this.add({ ...position, held: [] });
      }
    }
    const open = [...this.reach.values()];
    for (let at = open.pop(); at; at = open.pop()) {
      for (const next of this.after(at)) if (this.add(next)) open.push(next);
      this.states++;
    }
  }

  private add(position: Position): boolean {
    const key = keyOf(position);
    if (this.reach.has(key)) return false;
    this.reach.set(key, position);
    return true;
  }

  private *after(at: Position): Generator<Position> {
    const { cpu, kernel } = this;
    // What it fetches again is something else only where memory is.
    for (const window of at.held) {
      const now = kernel.bytes(kernel.view.nearest(cpu.node), window.address, window.bytes.length);
      if (!equal(now, window.bytes)) yield { ...at, held: at.held.filter((each) => each !== window) };
    }
    cpu.position = at;
    if (at.rip === this.site) {
      const length = Object.values(this.forms)[0]!.length;
      const bytes = cpu.bytes(this.site, length);
      const form = Object.entries(this.forms).find(([, each]) => equal(each, bytes))?.[0];
      this.seen.add(form ?? (bytes[0] === 0xcc ? "trap" : `torn ${hexOf(bytes)}`));
      if (form === undefined && bytes[0] !== 0xcc) return;
    }
    try {
      cpu.step();
    } catch (error) {
      this.seen.add((error as Error).message.replace(/^CPU \d+ /, "").replace(/ at [0-9a-f]+/, ""));
      return;
    }
    yield cpu.position;
  }

  /** What was executed since the last time this was asked. */
  take(): string[] {
    const all = [...this.seen].sort();
    this.seen.clear();
    return all;
  }
}

/** Torn code that was executed, or a trap that nobody answered. */
export const wrong = (seen: readonly string[]): readonly string[] =>
  seen.filter((each) => /^torn|no patch answers/.test(each));
