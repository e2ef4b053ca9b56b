/** Public surface of hw-x86: the machine plugin and the parts it is built from. */
export * from "./api.js";
