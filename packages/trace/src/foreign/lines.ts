/** Lines of a text that comes in pieces, with the byte each begins at. */
import { TraceError } from "../trace-error.js";

const LONGEST = 4096;

/** Hands on line by line; a line may end in LF or CRLF, the last in nothing. */
export class LineSplitter {
  private rest = "";
  private at = 0;
  private line = 0;

  /** @param file as errors name it @param sink gets the text, its number from 1, and its first byte */
  constructor(
    private readonly file: string,
    private readonly sink: (text: string, line: number, at: number) => void,
  ) {}

  /** @throws TraceError long-line for what no text file has */
  push(piece: Uint8Array): void {
    let from = 0;
    for (let end = piece.indexOf(10); end >= 0; end = piece.indexOf(10, from)) {
      this.hand(this.rest + latin1(piece, from, end), 1);
      this.rest = "";
      from = end + 1;
    }
    this.rest += latin1(piece, from, piece.length);
    if (this.rest.length > LONGEST)
      throw new TraceError(
        "long-line",
        this.file,
        this.at,
        `line ${this.line + 1} has more than ${LONGEST} bytes: this is no text of references`,
        "name the format it has",
      );
  }

  finish(): void {
    if (this.rest !== "") this.hand(this.rest, 0);
    this.rest = "";
  }

  private hand(text: string, ending: number): void {
    this.line++;
    this.sink(text.endsWith("\r") ? text.slice(0, -1) : text, this.line, this.at);
    this.at += text.length + ending;
  }
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let at = from; at < to; at += LONGEST)
    text += String.fromCharCode(...bytes.subarray(at, Math.min(to, at + LONGEST)));
  return text;
}
