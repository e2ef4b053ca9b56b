/**
 * A patch as a keeper of addresses: text that is written, or waits to be written, cannot go before that is done. Linux:
 * text_mutex.
 */
import { type AddressRange, bytesAt, hex, meet } from "@kreplica/hw-x86/api";
import type { TextUser } from "@kreplica/mm-core/api";
import type { PokeItem } from "./poke-api.js";

export class PatchUnderWay implements TextUser {
  readonly name = "a text patch";
  /** @param open sites being written @param queued sites gathered and not sent */
  constructor(
    private readonly open: () => readonly AddressRange[],
    private readonly queued: () => readonly PokeItem[],
  ) {}

  get writing(): boolean {
    return this.open().length > 0;
  }

  *sites(): Iterable<bigint> {
    for (const { start } of this.open()) yield start;
    for (const { address } of this.queued()) yield address;
  }

  refusal(range: AddressRange): string | undefined {
    const open = this.open().find((site) => meet(site, range));
    if (open) return `a patch of ${hex(open.start)} is under way: let it finish first`;
    const queued = this.queued().find(({ address, bytes }) => meet(bytesAt(address, bytes.length), range));
    return queued && `a patch of ${hex(queued.address)} is queued: finish it first`;
  }

  /** Nothing is kept of what is neither open nor queued. */
  forget(): void {
    /* whatever there was has refused */
  }
}
