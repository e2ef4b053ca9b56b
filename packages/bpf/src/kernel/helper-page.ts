/**
 * Entries of helpers: a page of `hlt; ret` pairs that stands in for the kernel functions, whose work the host does. Shared
 * and never replicated: it is no code of the series.
 */
import { inject, injectable } from "@kreplica/di";
import { BpfError } from "../errors.js";
import { HELPER_STUB, STUB_BYTES, stubAddress } from "../jit/run-compiled.js";
import { CodeAreas, CodePermissions } from "../ports.js";

const PAGE = 4096;

@injectable()
export class HelperPage {
  /** Where helper 0 begins; helper n lies 16 n bytes behind it. */
  readonly stubs: bigint;
  /** @throws BpfError `helper-page-no-space` */
  constructor(@inject(CodeAreas) private readonly areas: CodeAreas, @inject(CodePermissions) permissions: CodePermissions) {
    const page = areas.allocate(PAGE, "bpf helpers");
    if (page === undefined) throw new BpfError("helper-page-no-space", {}, "no page for the entries of helpers in the module range");
    const bytes = new Uint8Array(PAGE).fill(0xcc);
    for (let at = 0; at < PAGE; at += STUB_BYTES) bytes.set(HELPER_STUB, at);
    areas.write(page, bytes);
    permissions.readOnlyExecutable(page, 1);
    this.stubs = page;
  }
  /** @returns undefined for a number that the page has no room for */
  address(id: number): bigint | undefined { return id > 0 && id * STUB_BYTES < PAGE ? stubAddress(this.stubs, id) : undefined; }
  dispose(): void { this.areas.release(this.stubs); }
}
