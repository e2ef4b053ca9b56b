/** The user's cache folder, in which kreplica keeps what it can make again: recorders it built, results it told. */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `kreplica` below XDG_CACHE_HOME where that is set, to an absolute path as its specification asks; else below what is
 * usual: `~/.cache`, on macOS `~/Library/Caches`, on Windows LOCALAPPDATA.
 *
 * @source XDG Base Directory Specification, "Environment variables"
 */
export function cacheFolder(environment: Environment, platform: string = process.platform): string {
  const asked = environment["XDG_CACHE_HOME"];
  if (asked !== undefined && isAbsolute(asked)) return join(asked, "kreplica");
  const home = homedir();
  if (platform === "darwin") return join(home, "Library", "Caches", "kreplica");
  if (platform === "win32") return join(environment["LOCALAPPDATA"] || join(home, "AppData", "Local"), "kreplica");
  return join(home, ".cache", "kreplica");
}
