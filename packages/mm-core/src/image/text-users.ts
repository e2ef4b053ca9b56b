/** The list of those who keep addresses of kernel text. */
import { MmError } from "../errors.js";
import type { AddressRange } from "@kreplica/hw-x86/api";
import type { TextUser, TextUsers } from "./text-users-api.js";

/** The text users of one kernel, in the order in which they came. */
export class TextUserList implements TextUsers {
  private readonly users = new Set<TextUser>();
  get all(): Iterable<TextUser> {
    return this.users;
  }

  get writing(): boolean {
    return [...this.users].some((user) => user.writing === true);
  }

  add(user: TextUser): void {
    this.users.add(user);
  }

  release(ranges: readonly AddressRange[]): void {
    for (const range of ranges) {
      for (const user of this.users) {
        const refusal = user.refusal(range);
        if (refusal !== undefined) throw new MmError("text-in-use", range.start, refusal);
      }
    }
    for (const range of ranges) for (const user of this.users) user.forget(range);
  }
}
