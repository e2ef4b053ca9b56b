/** The page cache: which frame has which page of which file. */
import { inject, injectable } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";
import type { PageCache, UserFile } from "./page-cache-api.js";
import { UserFrames } from "./user-frames-api.js";

interface CachedFile extends UserFile {
  pages: number;
  readonly frames: Map<number, Frame>;
}

@injectable()
export class CountedPageCache implements PageCache {
  private readonly files = new Map<UserFile, CachedFile>();
  private next = 1;
  constructor(@inject(UserFrames) private readonly users: UserFrames) {}

  create(pages: number, anonymous = false): UserFile {
    const file: CachedFile = { id: this.next++, pages, anonymous, frames: new Map() };
    this.files.set(file, file);
    return file;
  }

  find(file: UserFile, index: number): Frame | undefined {
    return this.files.get(file)?.frames.get(index);
  }

  insert(file: UserFile, index: number, frame: Frame): void {
    const { frames, pages } = this.files.get(file)!;
    invariant(index < pages && !frames.has(index), `page ${index} of file ${file.id} is there, or behind its end`);
    frames.set(index, frame);
  }

  resize(file: UserFile, pages: number): void {
    this.files.get(file)!.pages = pages;
  }

  dropBehind(file: UserFile): void {
    const { frames, pages } = this.files.get(file)!;
    for (const [index, frame] of frames) {
      if (index < pages) continue;
      frames.delete(index);
      this.users.drop(frame);
    }
  }

  forget(file: UserFile): void {
    for (const frame of this.files.get(file)?.frames.values() ?? []) this.users.drop(frame);
    this.files.delete(file);
  }

  replace(from: Frame, to: Frame): boolean {
    for (const { frames } of this.files.values())
      for (const [index, frame] of frames)
        if (frame === from) {
          frames.set(index, to);
          return true;
        }
    return false;
  }

  *frames(): Iterable<Frame> {
    for (const { frames } of this.files.values()) yield* frames.values();
  }
}
