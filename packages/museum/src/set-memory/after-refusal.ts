/** A set_memory_ro that meets its own refusal otherwise than by undoing what it had done. */
import { type Binding, overlay } from "@kreplica/di";
import { type PageRange, SetMemory, SetMemoryError } from "@kreplica/set-memory/api";

/** @param refused is called in place of the error that leaves, and may throw it */
export const afterRefusal = (refused: (memory: SetMemory, range: PageRange, error: SetMemoryError) => void): Binding =>
  overlay(SetMemory, (memory) => {
    const readOnly = memory.readOnly.bind(memory);
    memory.readOnly = (range) => {
      try {
        readOnly(range);
      } catch (error) {
        if (!(error instanceof SetMemoryError)) throw error;
        refused(memory, range, error);
      }
    };
    return memory;
  });
