/** Kernels of the command: where no image is named, the one that the shipped recordings were made on. */
import {
  boot as bootKernel,
  type Booted,
  type BootOptions as KernelChoices,
  type BootParts,
  type Kernel,
  kernelFrom as kernelOfChoices,
  prepare as prepareKernel,
} from "@kreplica/kernel";
import { tracedKernel } from "./traced-kernel.js";

/** A kernel's choices, its image too. */
export type BootOptions = Omit<KernelChoices, "image"> & {
  /** What is booted, or how it is had with either alignment; the traced kernel when absent. */
  readonly image?: KernelChoices["image"] | undefined;
};

/** What a kernel can be given as: the value itself, or the choices that make one. */
export type KernelSource = Kernel | BootOptions;

/** The kernel that the choices come to, as `kernelFrom` of `@kreplica/kernel`. */
export const kernelFrom = (source: KernelSource): Kernel =>
  "choices" in source ? source : kernelOfChoices({ ...source, image: source.image ?? tracedKernel });

/**
 * Boots a kernel, the traced one unless another image is given.
 * @throws InputError when the choices contradict the machine
 * @throws MmError when a step of the boot is refused
 */
export const boot = (source: KernelSource): Booted => bootKernel(kernelFrom(source));

/** Assembles without booting. @throws InputError when the choices contradict the machine */
export const prepare = (source: KernelSource): BootParts => prepareKernel(kernelFrom(source));
