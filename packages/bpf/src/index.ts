/** BPF on the modelled kernel: objects, verifier, interpreter, JIT, and the images that the series keeps equal on every node. */
export * from "./api.js";
