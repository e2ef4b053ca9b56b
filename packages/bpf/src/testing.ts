/** Generators and fakes for tests of BPF and of what is built on it. */
export {
  CONTEXT_BYTES,
  generatorMaps,
  generateProgram,
  type GenerateOptions,
  VALUE_BYTES,
} from "./testing/generate.js";
export { Random } from "./testing/random.js";
export { FakeText } from "./testing/fake-text.js";
export { plainHost, type PlainHost } from "./testing/host.js";
