/** Types of fetch-kernel.mjs, for tests. */
export interface FetchedKernel {
  readonly dir: string;
  readonly abi: string;
  readonly version: string;
  readonly vmlinuz: string;
  readonly config: string;
  readonly modules: string;
}
export function fetchKernel(flavour?: string, options?: { readonly offline?: boolean }): FetchedKernel;
export function fetchReleaseKernel(
  release: string,
  flavour?: string,
  options?: { readonly offline?: boolean },
): { readonly vmlinuz: string; readonly modules: string; readonly abi: string };
export function fetchModule(
  module: string,
  release: string,
  flavour?: string,
  options?: { readonly offline?: boolean },
): { readonly file: string; readonly package: string };
