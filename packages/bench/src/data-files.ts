/** Where the files lie that the package ships: data/ beside src/ in the repository and beside dist/ when installed. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Path of a shipped file. @param name below data/, with forward slashes */
export const dataFile = (name: string): string => fileURLToPath(new URL(`../data/${name}`, import.meta.url));

export const readDataFile = (name: string): Uint8Array => readFileSync(dataFile(name));
