/** Types of fetch-kernel.mjs, for tests. */
export interface FetchedKernel { readonly dir: string; readonly abi: string; readonly version: string; readonly vmlinuz: string; readonly config: string; readonly modules: string }
export function fetchKernel(flavour?: string, options?: { readonly offline?: boolean }): FetchedKernel;
