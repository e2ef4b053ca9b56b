/** Where the JSON Schemas lie: schemas/ beside src/ in the repository and beside dist/ when installed. */
import { fileURLToPath } from "node:url";

/** @param name of a document, `kreplica.boot/1` */
export const schemaFileName = (name: string): string => `${name.replace("/", "-")}.json`;

/** @returns path of the schema of a document */
export const schemaFile = (name: string): string =>
  fileURLToPath(new URL(`../schemas/${schemaFileName(name)}`, import.meta.url));
