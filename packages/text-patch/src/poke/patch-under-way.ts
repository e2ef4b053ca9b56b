/**
 * A patch as a keeper of addresses: text that is written, or waits to be written, cannot go before that is done. Linux:
 * text_mutex.
 */
import { hex } from "@kreplica/hw-x86/api";
import type { TextUser } from "@kreplica/mm-core/api";
import type { PokeItem } from "./poke-api.js";

interface Site {
  readonly address: bigint;
  readonly length: number;
}

export class PatchUnderWay implements TextUser {
  readonly name = "a text patch";
  /** @param open sites being written @param queued sites gathered and not sent */
  constructor(
    private readonly open: () => readonly Site[],
    private readonly queued: () => readonly PokeItem[],
  ) {}

  *sites(): Iterable<bigint> {
    for (const { address } of this.open()) yield address;
    for (const { address } of this.queued()) yield address;
  }

  refusal(start: bigint, end: bigint): string | undefined {
    const meets = (address: bigint, length: number): boolean => address < end && address + BigInt(length) > start;
    const open = this.open().find(({ address, length }) => meets(address, length));
    if (open) return `a patch of ${hex(open.address)} is under way: let it finish first`;
    const queued = this.queued().find(({ address, bytes }) => meets(address, bytes.length));
    return queued && `a patch of ${hex(queued.address)} is queued: finish it first`;
  }

  /** Nothing is kept of what is neither open nor queued. */
  forget(): void {
    /* whatever there was has refused */
  }
}
