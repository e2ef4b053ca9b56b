/**
 * Who keeps addresses of kernel text, and is asked before some of it goes: probes, traced functions, static keys and
 * calls, breakpoints, a patch under way. Modules, areas of generated code and init text go; whoever would write there
 * afterwards writes into the next owner's page.
 *
 * Linux: kernel/module/main.c module notifiers (MODULE_STATE_GOING), under text_mutex; kprobe_free_init_mem,
 * ftrace_free_init_mem for init text.
 */
import { token } from "@kreplica/di";
import type { AddressRange } from "@kreplica/hw-x86/api";

/** One that keeps addresses. */
export interface TextUser {
  /** For messages: "a probe". */
  readonly name: string;
  /**
   * Whether it is in the middle of writing text: whoever changes which copies there are waits. Never where absent.
   * Linux: text_mutex.
   */
  readonly writing?: boolean;
  /** Addresses of text it would write to or lead CPUs to. */
  sites(): Iterable<bigint>;
  /** Why text of a range cannot go now, with an address; undefined where it may. Changes nothing. */
  refusal(range: AddressRange): string | undefined;
  /** Text of a range goes: forgets what it keeps there, and writes nothing to it. */
  forget(range: AddressRange): void;
}

/** Who keeps addresses of kernel text, and is asked before some of it goes. */
export interface TextUsers {
  readonly all: Iterable<TextUser>;
  /** Whether one of them is in the middle of writing text. */
  readonly writing: boolean;
  /** In the order in which they are to forget. */
  add(user: TextUser): void;
  /**
   * Before text is freed. Where one refuses, nobody has forgotten anything.
   * @throws MmError text-in-use
   */
  release(ranges: readonly AddressRange[]): void;
}
export const TextUsers = token<TextUsers>("mm-core/TextUsers");
