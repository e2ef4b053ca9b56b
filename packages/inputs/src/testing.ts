/**
 * Damage from a seed, for the tests of whatever reads files: bits, bytes, words, cuts, pieces doubled, lines moved. A
 * reader gives sound data or a typed error of every damaged file.
 */

/** Numbers from 0 to below what is asked for, from a seed (mulberry32). */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Words that readers trip over: ends of ranges of every width. */
const WORDS = [0, 1, 2, 4, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const PIECES = '|-|,|:|0|-1|99999999999|1e999|NaN|0xffffffff|<|>|"|{|]|\t|\0| |\n|\u00e9|total|ffffffff81000000'.split(
  "|",
);

/** One to four places of a copy changed, sometimes it is cut. @param draw as {@link numbers} makes it */
export function damagedBytes(sound: Uint8Array, draw: (below: number) => number): Uint8Array {
  let bytes = sound.slice();
  for (let steps = 1 + draw(4); steps > 0 && bytes.length > 0; steps--) {
    // Heads and tails mean more than what lies between them.
    const at =
      draw(3) === 0
        ? draw(bytes.length)
        : draw(2) === 0
          ? draw(Math.min(bytes.length, 640))
          : bytes.length - 1 - draw(Math.min(bytes.length, 320));
    const how = draw(12);
    if (how === 0) bytes = bytes.slice(0, at);
    else if (how === 1)
      bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(Math.min(bytes.length, at + 1 + draw(12)))]);
    else if (how === 2) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(draw(bytes.length))]);
    else if (how < 6 && at + 4 <= bytes.length)
      new DataView(bytes.buffer).setUint32(
        at,
        draw(3) === 0 ? draw(2 * bytes.length) : WORDS[draw(WORDS.length)]!,
        true,
      );
    else bytes[at] = how < 9 ? bytes[at]! ^ (1 << draw(8)) : draw(256);
  }
  return bytes;
}

/** Letters and lines of a text cut, doubled, moved and put in. @param draw as {@link numbers} makes it */
export function damagedText(text: string, draw: (below: number) => number): string {
  for (let steps = 1 + draw(3); steps > 0; steps--) {
    const at = draw(text.length + 1);
    if (draw(4) === 0) {
      const lines = text.split("\n");
      const [moved] = lines.splice(draw(lines.length), 1 + draw(2));
      if (draw(2) === 0) lines.splice(draw(lines.length + 1), 0, moved!);
      text = lines.join("\n");
    } else if (draw(8) === 0) text = text.slice(0, at);
    else text = text.slice(0, at) + PIECES[draw(PIECES.length)]! + text.slice(at + draw(4));
  }
  return text;
}
