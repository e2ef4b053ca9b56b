/** The service as a plugin: a factory, so that neither decorators nor a compiler's help are needed. */
import { bindFactory, plugin } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import { KernelImage, KernelLayout, KernelTables, ReplicaView } from "@kreplica/mm-core/api";
import { ReadingChecksums, TextChecksums } from "./text-checksums.js";

/** For `boot({ plugins: [textChecksums] })`; others then get it by its token. */
export const textChecksums = plugin("text-checksums", [
  bindFactory(
    TextChecksums,
    (get) =>
      new ReadingChecksums(get(KernelTables), get(ReplicaView), get(KernelImage), get(KernelLayout), get(Machine)),
  ),
]);
