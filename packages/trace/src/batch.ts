/** A run of decoded trace records as parallel columns: what the decoder fills and every consumer loops over. */

/** Kind of a record, the value of `batch.kind[i]`. */
export enum Kind {
  Fetch = 0,
  Load = 1,
  Store = 2,
  Vcpu = 3,
  Mark = 4,
  FetchPage = 5,
  Repeat = 6,
  End = 7,
}

/** Bits of `batch.a[i]` of a load or store above its size in bytes. */
export enum Access {
  SizeMask = 0xff,
  Io = 0x100,
  NewPage = 0x200,
}

/**
 * Records in order, one column per field; the first `length` rows count.
 *
 *   kind       lo, hi                    a                             b
 *   Fetch      address, both halves      instructions                  bytes
 *   Load       address                   size | Access.Io | .NewPage   physical page, when NewPage or Io
 *   Store      address                   the same                      the same
 *   Vcpu                                 virtual CPU from here on
 *   Mark                                 immediate of the marker
 *   FetchPage  address of a text page                                  physical page
 *   Repeat                               iterations of the REP instruction before it (saturates at 2^32 - 1)
 *   End
 */
export class Batch {
  readonly kind: Uint8Array;
  readonly lo: Uint32Array;
  readonly hi: Uint32Array;
  readonly a: Uint32Array;
  readonly b: Uint32Array;
  /** Where each record begins, in bytes behind {@link base}: for errors. */
  readonly at: Uint32Array;
  /** Byte of the recording from which {@link at} counts. */
  base = 0;
  length = 0;

  constructor(readonly capacity: number) {
    this.kind = new Uint8Array(capacity);
    this.lo = new Uint32Array(capacity);
    this.hi = new Uint32Array(capacity);
    this.a = new Uint32Array(capacity);
    this.b = new Uint32Array(capacity);
    this.at = new Uint32Array(capacity);
  }
}
