/**
 * Brings a module's sites to what the running kernel uses, with text-patch's own rules, by direct writes into the
 * image.
 *
 * Linux does jump labels and static calls a step later, with the module formed, by poking every copy; the bytes are the
 * same, and done here they cost one write instead of one a node.
 */
import { inject, injectable } from "@kreplica/di";
import { type AddressRange, hex, lengthOf } from "@kreplica/hw-x86/api";
import {
  patchAlternatives,
  patchEarly,
  patchFtrace,
  type PatchableText,
  type PatchCounts,
  type PatchState,
  type PatchTables,
  type StaticCallSite,
} from "@kreplica/text-patch/api";
import { signedOf } from "./addresses.js";
import { ModuleHost, type ModulePatcher } from "./api.js";
import { ModuleError } from "./errors.js";
import type { ItsThunks } from "./its-thunks.js";
import type { ModuleImage } from "./module-image.js";
import { refusing } from "./patch-tables.js";

/**
 * Leaves every site as the compiler made it: for kernels whose state is not known, and to see what patching changes.
 */
@injectable()
export class NoPatcher implements ModulePatcher {
  finalize(): PatchCounts {
    return {};
  }
}

/** @patch 08/12 arch/x86/kernel/module.c module_finalize */
@injectable()
export class TablePatcher implements ModulePatcher {
  constructor(@inject(ModuleHost) private readonly host: ModuleHost) {}

  finalize(image: ModuleImage, tables: PatchTables, thunks?: ItsThunks): PatchCounts {
    const { patching } = this.host;
    if (!patching)
      throw new ModuleError(
        "bad-site",
        image.file.name,
        "this kernel does not say what its code is patched to: bind the noPatching plugin, or give its state",
      );
    const text = new ImageText(image);
    const state = stateWith(image, patching, thunks);
    const staticCalls = tables.staticCalls.map((site) => this.keyed(image, site));
    return refusing(image, () => ({
      ...patchAlternatives(text, tables, state, (address) => image.bytes(signedOf(address), 1) !== undefined),
      ...patchFtrace(text, tables),
      ...patchEarly(text, { ...tables, staticCalls }, state),
    }));
  }

  /**
   * A module may not name the key of a static call that is not exported; it names the trampoline, and the kernel knows
   * the key.
   * @source kernel/static_call_inline.c static_call_add_module
   */
  private keyed(image: ModuleImage, site: StaticCallSite): StaticCallSite {
    if (image.bytes(signedOf(site.key), 1)) return site;
    return { ...site, key: this.host.staticCallKey(site.key) ?? site.key };
  }
}

/** Keys that are the module's own are in its data; all others are the kernel's. */
function stateWith(image: ModuleImage, kernel: PatchState, thunks: ItsThunks | undefined): PatchState {
  const own = (key: bigint, length: number): DataView | undefined => {
    const bytes = image.bytes(signedOf(key), length);
    return bytes && new DataView(bytes.buffer, bytes.byteOffset, length);
  };
  return {
    has: (feature) => kernel.has(feature),
    paravirt: (type) => kernel.paravirt(type),
    returnThunk: (site) => kernel.returnThunk(site),
    indirectThunks: kernel.indirectThunks,
    defaultReturnThunk: kernel.defaultReturnThunk,
    staticCallReturn0: kernel.staticCallReturn0,
    cpus: kernel.cpus,
    // One for each branch, so that they do not share a prediction; the kernel's shared one when there is no memory.
    ...(kernel.indirectItsThunk
      ? { indirectItsThunk: (register: number) => thunks?.take(register) ?? kernel.indirectItsThunk!(register) }
      : {}),
    keyEnabled: (key) => {
      const view = own(key, 4);
      return view ? view.getInt32(0, true) > 0 : kernel.keyEnabled(key);
    },
    staticCallTarget: (key) => own(key, 8)?.getBigUint64(0, true) ?? kernel.staticCallTarget(key),
  };
}

/** The image as text that can be patched. */
class ImageText implements PatchableText {
  constructor(private readonly image: ModuleImage) {}

  /** Bytes behind the module's last page read as zero: the longest form of a site may reach over it. */
  read(range: AddressRange): Uint8Array {
    const address = range.start;
    const length = lengthOf(range);
    const bytes = new Uint8Array(length);
    for (let shorter = length; shorter > 0; shorter--) {
      const view = this.image.bytes(signedOf(address), shorter);
      if (!view) continue;
      bytes.set(view);
      return bytes;
    }
    throw new ModuleError("bad-site", this.image.file.name, `${hex(address)} is not in the module`);
  }

  write(address: bigint, bytes: Uint8Array): void {
    const view = this.image.bytes(signedOf(address), bytes.length);
    if (!view)
      throw new ModuleError(
        "bad-site",
        this.image.file.name,
        `a patch of ${bytes.length} bytes at ${hex(address)} leaves the module`,
      );
    view.set(bytes);
  }
}
