/** The kernel the shipped recordings were made on: Debian's Linux 6.1.0-56 cloud, sections and symbols, no bytes. */
import { readSections, readSymbolList, readSystemMap, textOf } from "@kreplica/kernel-files";
import { type KernelImage, kernelImage, type SectionHeader } from "@kreplica/mm-core";
import { dataFile, readDataFile } from "@kreplica/recordings";

const NAME = "6.1.0-56-cloud-amd64";
let files: { readonly sections: readonly SectionHeader[]; readonly symbols: ReadonlyMap<string, bigint> } | undefined;

let symbols: ReturnType<typeof readSymbolList> | undefined;

/** Every symbol of it: several may share a name. */
export function tracedSymbols(): ReturnType<typeof readSymbolList> {
  const name = `kernel/System.map-${NAME}.zst`;
  return (symbols ??= readSymbolList(textOf(readDataFile(name), dataFile(name)), dataFile(name)));
}

/** @param alignment ends of text and rodata as recorded, or filled to 2 MiB as patch 06 does */
export function tracedKernel(alignment: "recorded" | "patch-06"): KernelImage {
  // Read once in a process: 87,000 symbols.
  files ??= {
    symbols: readSystemMap(readDataFile(`kernel/System.map-${NAME}.zst`), dataFile(`kernel/System.map-${NAME}.zst`)),
    sections: readSections(
      textOf(readDataFile(`kernel/vmlinux-${NAME}.readelf.txt`), ""),
      dataFile(`kernel/vmlinux-${NAME}.readelf.txt`),
    ),
  };
  return kernelImage({ name: `Linux ${NAME}`, alignment, noOps: tracedNoOps(), ...files });
}

let noOps: KernelImage["noOps"];
/**
 * Runs of one-byte no-ops that the traced kernel's own patching leaves in its alternatives on the recorded guest's CPU,
 * before it makes them long. Worked out by this project's boot patching from the kernel's package:
 * test/real/no-ops.test.ts.
 */
function tracedNoOps(): NonNullable<KernelImage["noOps"]> {
  const name = `kernel/no-ops-${NAME}.txt.zst`;
  return (noOps ??= textOf(readDataFile(name), dataFile(name))
    .trim()
    .split("\n")
    .map((line) => {
      const [address, bytes] = line.split(" ");
      return { address: 0xffff_ffff_0000_0000n | BigInt(`0x${address!}`), bytes: Number(bytes) };
    }));
}
