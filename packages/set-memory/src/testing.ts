/** For tests of whoever binds SetMemory: its contract. */
export { setMemoryContract, type SetMemorySubject } from "./testing/set-memory-contract.js";
