/** Bits of area flags, each request a bit of its own. */
import { inject, injectable } from "@kreplica/di";
import { KernelLayout } from "@kreplica/mm-core/api";
import type { AreaBits } from "./api.js";

/**
 * @source include/linux/vmalloc.h: 0x800 is the last bit in use, with KASAN alone and where vmalloc's areas have no
 *   shadow; it is 0 on other kernels
 */
export const deferTrackingBit = (layout: KernelLayout): number =>
  layout.kasan !== undefined && !layout.kasan.vmalloc ? 0x800 : 0;

/** Being shared has the first bit that no kernel uses. */
@injectable()
export class OwnBits implements AreaBits {
  readonly shared = 0x1000;
  readonly deferTracking: number;

  constructor(@inject(KernelLayout) layout: KernelLayout) {
    this.deferTracking = deferTrackingBit(layout);
  }
}
