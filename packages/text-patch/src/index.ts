/** Public surface of text-patch. */
export * from "./api.js";
