/** A list of the frames that are shared with who is outside. */
import { injectable } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";
import type { SharedMemory } from "./shared-memory-api.js";

/** A list of the frames that are shared with who is outside. */
@injectable()
export class SharedFrames implements SharedMemory {
  readonly frames = new Set<Frame>();

  note(frames: Iterable<Frame>, shared: boolean): void {
    for (const frame of frames) {
      if (shared) this.frames.add(frame);
      else this.frames.delete(frame);
    }
  }
}
