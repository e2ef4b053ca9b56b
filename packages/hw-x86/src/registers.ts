/**
 * Control registers of one hardware thread, what writing them invalidates, and the masks the access path reads instead
 * of them. The cold half of a CPU.
 *
 * Source: Intel SDM vol. 3A, "Control Registers", "Operations that Invalidate TLBs and Paging-Structure Caches"; vol.
 * 2, "INVLPG", "INVPCID". Where the SDM allows more to be invalidated than required, no more is.
 */
import { hex } from "./addr.js";
import { ThreadTranslations } from "./cached.js";
import { Cr0, CR0_KEPT, Cr4, CR4_KEPT, Efer, EFER_KEPT } from "./control-bits.js";
import type { Core } from "./core.js";
import { MachineError } from "./errors.js";
import { frameHighOf, NO_FRAME } from "./frame-number.js";
import type { FetchedInstructions } from "./machine-api.js";
import type { PhysMemory } from "./memory-api.js";
import { Tag } from "./tlb.js";
import type { PageWalker } from "./parts.js";
import { Context, Denial, Thread } from "./literals.js";
import { encryptionHigh } from "./pte.js";

/** Where a value is taken apart: arithmetic with a bigint makes another one. The host is little endian. */
const WRITTEN = new BigUint64Array(1);
const HALVES = new Int32Array(WRITTEN.buffer);

/**
 * Control registers of one hardware thread and what writing them invalidates.
 * @source Intel SDM vol. 3A, "Control Registers", "Operations that Invalidate TLBs and Paging-Structure Caches"
 */
export abstract class ThreadRegisters {
  readonly core: Core;
  /** What is cached, for who looks at it from outside. */
  readonly cached: ThreadTranslations;
  protected readonly walker: PageWalker;
  /** Number within the core, in its place of a TLB tag. */
  readonly thread: number;

  /**
   * Counts everything that may change what an address means to this thread: lets the interpreter keep translations of
   * its own.
   */
  translationChanges = 0;
  /**
   * Counts serialising events: control registers written, pages invalidated, interrupts taken (their handlers end in
   * IRET). Ends what an interpreter keeps of fetched instructions.
   * @source SDM vol. 3A, "Serializing Instructions"
   */
  serialisations = 0;

  fetched: FetchedInstructions | undefined;

  private privilegeValue: 0 | 3 = 0;
  private cr0Value = 0;
  /** Bit 63 and all: it is left out where the register is read. */
  private cr3Written = 0n;
  /** Of it, told apart when it is written: what they mean is asked for at each change of privilege. */
  private cr3Root = 0;
  private cr3Context = 0;
  private cr4Value = 0;
  private eferValue = 0;
  private accessAllowed = false;

  protected paging = false;
  /** Thread and PCID in their places of a TLB tag, for entries of this PCID and for global ones. */
  protected context: number = Context.Never;
  protected globalContext: number = Context.Never;
  /** G bits count: CR4.PGE. */
  protected globals = false;
  /** hi << shift >> shift === hi: bits 63 to 47, or 63 to 56, are alike. */
  protected canonicalShift = 16;
  /** Denials that refuse an access at this privilege. */
  protected denyLoad = 0;
  protected denyStore = 0;
  protected denyFetch = 0;
  /** A refused fetch says in its error code that it was one. */
  protected fetchReported = false;

  /** Bits of CR3 between the widest physical address, 36 bits or more, and bit 62: reserved, whatever CR4 says. */
  private readonly cr3Reserved: number;

  /** No bit of the root's address: the encryption bit, or none. Both are bits of the high half. */
  private readonly cr3Encryption: number;

  /**
   * @param thread number within the core, 0 to 7
   * @param physicalBits MAXPHYADDR
   * @param counters of the thread
   * @param encryptionBit its place; absent: the machine has none
   */
  constructor(
    core: Core,
    thread: number,
    memory: PhysMemory,
    physicalBits: number,
    counters: Float64Array,
    encryptionBit?: number,
  ) {
    this.core = core;
    this.cr3Encryption = encryptionHigh(encryptionBit);
    this.cr3Reserved = 0x7fff_ffff & -(2 ** (physicalBits - 32)) & ~this.cr3Encryption;
    this.walker = core.parts.walker(memory, core, physicalBits, counters, this.cr3Encryption);
    this.thread = thread << 25;
    this.cached = new ThreadTranslations(core, this.thread);
    this.derive();
  }

  get rootFrame(): number {
    return this.walker.root >>> 0;
  }
  get pcid(): number {
    return (this.cr4Value & Cr4.ProcessContext) === 0 ? 0 : this.cr3Context;
  }
  get cr3(): bigint {
    return BigInt.asUintN(63, this.cr3Written);
  }

  writeCr3(value: bigint): void {
    WRITTEN[0] = value;
    const lo = HALVES[0]!;
    const hi = HALVES[1]!;
    if ((hi & this.cr3Reserved) !== 0)
      this.refuse(
        "cr3",
        `bits ${hex(BigInt((hi & this.cr3Reserved) >>> 0) << 32n)} are reserved: no physical address is that wide`,
        "load a root table that lies in memory",
      );
    this.serialisations++;
    this.cr3Written = value;
    const high = frameHighOf(hi & 0xf_ffff & ~this.cr3Encryption);
    this.cr3Root = high < 0 ? NO_FRAME | 0 : (lo >>> 12) | (high << 20);
    this.cr3Context = lo & 0xfff;
    this.derive();
    const keep = (this.cr4Value & Cr4.ProcessContext) !== 0 && hi < 0;
    const pcid = this.pcid;
    if (!keep) this.flushContext(pcid);
    this.cached.loaded(pcid, this.rootFrame, keep);
  }

  get privilege(): 0 | 3 {
    return this.privilegeValue;
  }
  set privilege(value: 0 | 3) {
    this.privilegeValue = value;
    this.derive();
  }

  get alignmentCheck(): boolean {
    return this.accessAllowed;
  }
  set alignmentCheck(value: boolean) {
    this.accessAllowed = value;
    this.derive();
  }

  get cr0(): number {
    return this.cr0Value;
  }
  set cr0(value: number) {
    const now = (value & CR0_KEPT) >>> 0;
    const was = this.cr0Value;
    if (now >= Cr0.Paging && (this.eferValue & Efer.LongModeEnable) === 0) {
      throw new MachineError(
        "not-modelled",
        "cr0",
        "paging without EFER.LME is 32-bit or PAE paging, which is not modelled",
        "set CR4.PAE, then EFER.LME, then CR0.PG",
      );
    }
    if (now >= Cr0.Paging && (this.cr4Value & Cr4.PhysicalAddressExtension) === 0)
      this.refuse("cr0", "paging in long mode needs CR4.PAE", "set CR4.PAE before CR0.PG");
    if (was >= Cr0.Paging && now < Cr0.Paging && (this.cr4Value & Cr4.ProcessContext) !== 0)
      this.refuse("cr0", "PG cannot be cleared while CR4.PCIDE is set", "clear CR4.PCIDE first");
    this.serialisations++;
    this.cr0Value = now;
    this.eferValue = now >= Cr0.Paging ? this.eferValue | Efer.LongModeActive : this.eferValue & ~Efer.LongModeActive;
    if (was >= Cr0.Paging && now < Cr0.Paging) this.flushTranslations();
    this.derive();
  }

  get cr4(): number {
    return this.cr4Value;
  }
  set cr4(value: number) {
    const now = value & CR4_KEPT;
    const was = this.cr4Value;
    if (this.paging && ((now ^ was) & (Cr4.FiveLevels | Cr4.PhysicalAddressExtension)) !== 0)
      this.refuse("cr4", "LA57 and PAE cannot change while paging is on in long mode", "clear CR0.PG first");
    if ((now & ~was & Cr4.ProcessContext) !== 0 && (this.eferValue & Efer.LongModeActive) === 0)
      this.refuse("cr4", "PCIDE cannot be set outside long mode", "set CR0.PG with EFER.LME first");
    if ((now & ~was & Cr4.ProcessContext) !== 0 && this.cr3Context !== 0)
      this.refuse("cr4", "PCIDE cannot be set while CR3 bits 11..0 are not zero", "load a CR3 with PCID 0 first");
    const pcid = this.pcid;
    this.serialisations++;
    this.cr4Value = now;
    if (((now ^ was) & Cr4.PageGlobal) !== 0 || (was & ~now & Cr4.ProcessContext) !== 0) this.flushTranslations();
    else if ((now & ~was & Cr4.SupervisorExecutePrevention) !== 0) {
      // "All TLB entries and all entries in all paging-structure caches for the current PCID": global ones are used
      // with it.
      this.flushContext(pcid);
      this.core.tlbs.flush(Tag.Thread | Tag.Global, this.thread | Tag.Global);
    }
    this.derive();
  }

  get efer(): number {
    return this.eferValue;
  }
  set efer(value: number) {
    if (this.paging && ((value ^ this.eferValue) & Efer.LongModeEnable) !== 0)
      this.refuse("efer", "LME cannot change while paging is on", "clear CR0.PG first");
    this.serialisations++;
    this.eferValue = (value & EFER_KEPT & ~Efer.LongModeActive) | (this.eferValue & Efer.LongModeActive);
    this.derive();
  }

  invlpg(address: bigint): void {
    this.translationChanges++;
    this.serialisations++;
    WRITTEN[0] = address;
    const lo = HALVES[0]!;
    const hi = HALVES[1]!;
    // A non-canonical address is no page: INVLPG does nothing.
    if (!this.isCanonical(hi)) return;
    this.dropPage((lo >>> 12) | (hi << 20), (hi >>> 12) & Tag.Page);
    // Every paging-structure entry of the PCID, whatever its address.
    this.core.tlbs.structures.flush(Tag.Thread | Tag.Pcid, this.thread | (this.pcid << 13));
  }

  invpcid(type: 0 | 1 | 2 | 3, pcid: number, address: bigint): void {
    this.translationChanges++;
    const { tlbs } = this.core;
    if (type <= 1 && (pcid < 0 || pcid > 4095 || (pcid !== 0 && (this.cr4Value & Cr4.ProcessContext) === 0))) {
      this.refuse("invpcid", `PCID ${pcid} does not exist`, "0 to 4095, and only 0 without CR4.PCIDE");
    }
    const context = this.thread | (pcid << 13);
    if (type === 0) {
      WRITTEN[0] = address;
      const lo = HALVES[0]!;
      const hi = HALVES[1]!;
      if (!this.isCanonical(hi))
        this.refuse("invpcid", `address ${hex(address)} is not canonical`, "sign-extend it from the paging width");
      const page = (lo >>> 12) | (hi << 20);
      const high = (hi >>> 12) & Tag.Page;
      tlbs.drop(page, Tag.Page | Tag.Thread | Tag.Pcid | Tag.Global, high | context);
      tlbs.structures.drop(page, high | context);
    } else if (type === 1) this.flushContext(pcid);
    else if (type === 2) this.flushTranslations();
    else {
      this.cached.forgot(undefined, this.pcid);
      tlbs.flush(Tag.Thread | Tag.Global, this.thread);
      tlbs.structures.flush(Tag.Thread, this.thread);
    }
    this.core.fetchThread = Thread.Nobody;
  }

  flushTranslations(): void {
    this.translationChanges++;
    this.cached.forgot(undefined, this.pcid);
    this.core.tlbs.flush(Tag.Thread, this.thread);
    this.core.tlbs.structures.flush(Tag.Thread, this.thread);
    this.core.fetchThread = Thread.Nobody;
  }

  /** Entries of this PCID and global ones for one page, of every size that covers it. @param high page number 44..32 */
  protected dropPage(page: number, high: number): void {
    const { tlbs } = this.core;
    tlbs.drop(page, Tag.Page | Tag.Thread | Tag.Pcid | Tag.Global, high | this.thread | (this.pcid << 13));
    tlbs.drop(page, Tag.Page | Tag.Thread | Tag.Global, high | this.thread | Tag.Global);
    // A store may forget the page that is being fetched from: the next fetch has to look it up.
    this.core.fetchThread = Thread.Nobody;
  }

  /** Non-global entries of one PCID of this thread. */
  private flushContext(pcid: number): void {
    this.cached.forgot(pcid, this.pcid);
    const context = this.thread | (pcid << 13);
    this.core.tlbs.flush(Tag.Thread | Tag.Pcid | Tag.Global, context);
    this.core.tlbs.structures.flush(Tag.Thread | Tag.Pcid, context);
    this.core.fetchThread = Thread.Nobody;
  }

  private isCanonical(hi: number): boolean {
    return (hi << this.canonicalShift) >> this.canonicalShift === hi;
  }

  private refuse(field: string, reason: string, remedy: string): never {
    throw new MachineError("general-protection", field, reason, remedy);
  }

  /** Recomputes what the access path reads from the registers. */
  private derive(): void {
    this.translationChanges++;
    const user = this.privilegeValue === 3;
    const cr4 = this.cr4Value;
    const noExecute = (this.eferValue & Efer.NoExecuteEnable) !== 0;
    this.paging = this.cr0Value >= Cr0.Paging;
    this.walker.levels = (cr4 & Cr4.FiveLevels) === 0 ? 4 : 5;
    this.canonicalShift = (cr4 & Cr4.FiveLevels) === 0 ? 16 : 7;
    this.globals = (cr4 & Cr4.PageGlobal) !== 0;
    this.walker.root = this.cr3Root;
    this.deriveContext();
    const smap = !user && (cr4 & Cr4.SupervisorAccessPrevention) !== 0 && !this.accessAllowed ? Denial.UserPage : 0;
    this.denyLoad = user ? Denial.NotUser : smap;
    this.denyStore =
      Denial.NotDirty |
      (user
        ? Denial.NotUser | Denial.NotWritable
        : smap | ((this.cr0Value & Cr0.WriteProtect) !== 0 ? Denial.NotWritable : 0));
    this.denyFetch =
      Denial.NoExecute | (user ? Denial.NotUser : (cr4 & Cr4.SupervisorExecutePrevention) !== 0 ? Denial.UserPage : 0);
    this.fetchReported = (cr4 & Cr4.SupervisorExecutePrevention) !== 0 || noExecute;
    this.walker.setNoExecute(noExecute);
    this.core.fetchThread = Thread.Nobody;
  }

  /** Nothing hits in a core that sleeps either: so its first access comes to where it is woken. */
  protected deriveContext(): void {
    const hits = this.paging && this.core.asleep === 0;
    this.context = hits ? this.thread | (this.pcid << 13) : Context.Never;
    this.globalContext = hits ? this.thread | Tag.Global : Context.Never;
  }
}
