/** Where the recordings lie: data/, beside src/ in the repository and beside dist/ when installed. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Path of a file or folder. @param name below data/, with forward slashes; "" for data/ itself */
export const dataFile = (name: string): string => fileURLToPath(new URL(`../data/${name}`, import.meta.url));

/**
 * Bytes of a file.
 * @param name below data/, with forward slashes
 * @throws Error of node:fs when there is no such file
 */
export const readDataFile = (name: string): Uint8Array => readFileSync(dataFile(name));
