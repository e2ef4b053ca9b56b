/** Text as it stands in an address: bytes in base64url, large ones deflated before. */

/** Bytes in base64url, without what fills the last group. */
export const lettersOf = (bytes: Uint8Array): string =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** @throws DOMException for letters that are none of base64url */
export const bytesOf = (letters: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(letters.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

const through = async (
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array> =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

/** The text, deflated. */
export const packed = async (text: string): Promise<string> =>
  lettersOf(await through(new TextEncoder().encode(text), new CompressionStream("deflate-raw")));

/** What {@link packed} made. Rejects for what is cut or damaged. */
export const unpacked = async (letters: string): Promise<string> =>
  new TextDecoder().decode(await through(bytesOf(letters), new DecompressionStream("deflate-raw")));

/**
 * A machine as an address holds it, all of it: its name, `~`, and its document deflated.
 *
 * @param machine as `machineDocument` gives it @returns some 3,000 to 6,000 letters for a server of today
 */
export const packedMachine = async (machine: { readonly name: string }): Promise<string> =>
  `${machine.name}~${await packed(JSON.stringify(machine))}`;
