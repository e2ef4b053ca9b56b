/**
 * Test helpers for kernel packages: a stub machine, small kernels, fixed holders, and the contracts of this package's
 * ports.
 */
export { type ContractSubject, kernelTablesContract } from "./testing/contract.js";
export { expectMappings, listMappings } from "./testing/expect-mappings.js";
export { fixedHolders, plannedHolders, testKernel, type TestKernel, type TestKernelOptions } from "./testing/kernel.js";
export { KeepingCpu, keepingMachine } from "./testing/keeping-machine.js";
export { ModelKernelTables } from "./testing/model-tables.js";
export { StubCpu, stubMachine, type StubMachine, StubMemory, type StubNode } from "./testing/stub-machine.js";
export { tinyImage } from "./testing/tiny-image.js";
export { type AllocatorSubject, pageAllocatorContract } from "./testing/page-allocator-contract.js";
export { replicaViewContract, type ViewSubject } from "./testing/replica-view-contract.js";
