/** Which frames are shared with who is outside, where memory is encrypted: interface and token. */
import { token } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";

/**
 * Frames whose memory is not encrypted, as the kernel said when it changed them: in Linux the host is told by a call
 * for each change, and keeps the list. What the tables are held against: nothing of the kernel is decided by it.
 *
 * @source Linux 6.5 arch/x86/mm/mem_encrypt_amd.c amd_enc_status_change_finish
 */
export interface SharedMemory {
  /** All of them, in the order they became so. Empty where the machine has no encryption bit. */
  readonly frames: ReadonlySet<Frame>;
  /** @param shared false: they are private again */
  note(frames: Iterable<Frame>, shared: boolean): void;
}
export const SharedMemory = token<SharedMemory>("mm-core/SharedMemory");
