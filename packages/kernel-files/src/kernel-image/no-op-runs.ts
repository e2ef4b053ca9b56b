/**
 * Runs of one-byte no-ops in a kernel file's alternatives: the padding that boot patching makes long. Calls through
 * pv_ops are taken for replaced, as on every machine that is no Xen guest; what hangs on other features of the CPU
 * stands as in the file.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import type { KernelImage, NoOps } from "@kreplica/mm-core";
import { noOpRuns } from "@kreplica/text-patch/api";
import type { KernelFile } from "./kernel-file.js";
import { patchTables } from "./patch-tables.js";

/** X86_FEATURE_XENPV. @source arch/x86/include/asm/cpufeatures.h, 6.1 to 6.12 */
const XENPV = 8 * 32 + 16;

/**
 * @returns runs of two bytes and more in text that stays, ascending
 * @throws TextPatchError for a table that cannot be one
 */
export function noOpsOf(kernel: KernelFile): NoOps[] {
  const start = kernel.symbol("_stext") ?? kernel.base;
  const end = kernel.symbol("_etext") ?? start;
  const runs = new Map<bigint, number>();
  for (const { address, length, feature, inverted, replacement, replacementLength } of patchTables(kernel)
    .alternatives) {
    if (address < start || address >= end) continue;
    const bytes = kernel.bytes(bytesAt(address, length)).slice();
    if (inverted && feature === XENPV) bytes.fill(0x90).set(kernel.bytes(bytesAt(replacement, replacementLength)));
    for (const run of noOpRuns(bytes)) {
      if (run.end - run.at > 1) runs.set(address + BigInt(run.at), run.end - run.at);
    }
  }
  return [...runs].map(([address, bytes]) => ({ address, bytes })).sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** The image of a kernel file, able to say where its no-ops are: its tables are read when somebody asks. */
export const withNoOps = (image: KernelImage, kernel: KernelFile): KernelImage =>
  Object.defineProperty(image, "noOps", { get: () => noOpsOf(kernel), enumerable: false });
