/** Bytes that come in pieces, cut into records of one length. */
export class RecordCutter {
  /** Bytes in whole records so far. */
  read = 0;
  /** Bytes behind them. */
  left = 0;
  private readonly rest: Uint8Array;

  /**
   * @param length of a record
   * @param sink gets records: they begin at `from` in the bytes, and at `at` in the file
   */
  constructor(
    private readonly length: number,
    private readonly sink: (bytes: Uint8Array, from: number, at: number) => void,
  ) {
    this.rest = new Uint8Array(length);
  }

  /** @param part as it comes, cut anywhere */
  push(part: Uint8Array): void {
    let from = 0;
    if (this.left > 0) {
      from = Math.min(this.length - this.left, part.length);
      this.rest.set(part.subarray(0, from), this.left);
      this.left += from;
      if (this.left < this.length) return;
      this.sink(this.rest, 0, this.read);
      this.read += this.length;
    }
    for (; from + this.length <= part.length; from += this.length, this.read += this.length)
      this.sink(part, from, this.read);
    this.rest.set(part.subarray(from), 0);
    this.left = part.length - from;
  }
}
