/** Files as users map them: interface and token of the page cache. */
import { token } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";

/** A file, or memory shared without one (in Linux, a file of shmem that has no name). */
export interface UserFile {
  /** From 1, in the order they were made. */
  readonly id: number;
  /** Pages of 4 KiB up to its end. Ends within a page are not modelled. */
  readonly pages: number;
  /** Whether its pages go with the last area that maps it. */
  readonly anonymous: boolean;
}

/**
 * Pages of files, in frames of users' memory that the cache has a count of: whoever maps one has another. What nobody
 * stored to is not there, and reads as zeroes.
 * @source Documentation/filesystems/vfs.rst, "The Address Space Object"
 */
export interface PageCache {
  /** @param pages up to its end, 0 or more */
  create(pages: number, anonymous?: boolean): UserFile;
  /** The frame of a page, undefined where there is none yet. @param index 0 or more */
  find(file: UserFile, index: number): Frame | undefined;
  /** Takes over the caller's count of a frame. @param index 0 to one less than the file has, of a page without frame */
  insert(file: UserFile, index: number, frame: Frame): void;
  /** Sets where a file ends; pages behind it stay until {@link dropBehind}. */
  resize(file: UserFile, pages: number): void;
  /** Lets go of the pages behind a file's end. */
  dropBehind(file: UserFile): void;
  /** Lets go of all pages of a file that nobody maps any more, nor ever will. */
  forget(file: UserFile): void;
  /** Has one frame in another's place. @returns whether it had `from`; its counts are the caller's */
  replace(from: Frame, to: Frame): boolean;
  /** Every frame that it has. */
  frames(): Iterable<Frame>;
}
export const PageCache = token<PageCache>("mm-core/PageCache");
