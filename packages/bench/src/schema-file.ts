/** Where the JSON Schema of machine files lies: data/ beside src/ in the repository and beside dist/ when installed. */
import { fileURLToPath } from "node:url";

export const MACHINE_SCHEMA_FILE = fileURLToPath(new URL("../data/machine.schema.json", import.meta.url));
