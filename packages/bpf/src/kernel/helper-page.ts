/**
 * Entries of helpers: a page of `hlt; ret` pairs that stands in for the kernel functions, whose work the host does. It
 * has a copy on every holder whatever is asked for BPF images, because helpers are kernel text, and that is replicated.
 */
import { inject, injectable } from "@kreplica/di";
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import { Vmalloc } from "@kreplica/vmalloc/api";
import { BpfError } from "../errors.js";
import type { Helpers } from "../images-api.js";
import { HELPER_STUB, STUB_BYTES, stubAddress } from "../jit/run-compiled.js";
import { CodeAreas, CodePermissions } from "../ports.js";

/** Entries of helpers: a page of `hlt; ret` pairs in the place of kernel functions, with a copy on every holder. */
@injectable()
export class HelperPage implements Helpers {
  private page: bigint | undefined;
  constructor(
    @inject(CodeAreas) private readonly areas: CodeAreas,
    @inject(CodePermissions) private readonly permissions: CodePermissions,
    @inject(Vmalloc) private readonly vmalloc: Vmalloc,
  ) {}

  /**
   * Where helper 0 begins; helper n lies 16 n bytes behind it. Made when first asked for: at assembly there is no
   * vmalloc yet.
   *
   * @throws BpfError `helper-page-no-space`
   */
  get stubs(): bigint {
    return (this.page ??= this.make());
  }

  private make(): bigint {
    const page = this.areas.allocate(PAGE_BYTES, "bpf helpers");
    if (page === undefined)
      throw new BpfError("helper-page-no-space", {}, "no page for the entries of helpers in the module range");
    const bytes = new Uint8Array(PAGE_BYTES).fill(0xcc);
    for (let at = 0; at < PAGE_BYTES; at += STUB_BYTES) bytes.set(HELPER_STUB, at);
    this.areas.write(page, bytes);
    const area = this.vmalloc.find(page);
    if (area?.state === "shared") this.vmalloc.replicate(area);
    this.permissions.readOnlyExecutable({ start: page, pages: 1 });
    return page;
  }
  /** @returns undefined for a number that the page has no room for */
  address(id: number): bigint | undefined {
    return id > 0 && id * STUB_BYTES < PAGE_BYTES ? stubAddress(this.stubs, id) : undefined;
  }
  dispose(): void {
    if (this.page !== undefined) this.areas.release(this.page);
    this.page = undefined;
  }
}
