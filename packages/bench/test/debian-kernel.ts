/** Debian's kernel, for tests that boot or read a real one. */
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";

/** Path of its vmlinuz; undefined where it cannot be had. */
export function debianKernel(): string | undefined {
  try {
    return (fetchKernel() as { vmlinuz: string }).vmlinuz;
  } catch {
    return undefined;
  }
}
