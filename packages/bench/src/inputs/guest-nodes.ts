/**
 * `--recorded-nodes`: which nodes a recorded guest had. A word, `CPUS:SIZE[@ADDRESS]` for each node with a slash
 * between, or a file with what QEMU's `info numa` or `numactl --hardware` says: `node N cpus: ...` and `node N size:
 * ... MB`.
 */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { InputError, parseCpuList, whyNot } from "@kreplica/inputs";
import type { GuestNode } from "@kreplica/trace";
import { foundFile } from "./input-file.js";

const OPTION = "--recorded-nodes";
const HOW =
  "write CPUS:SIZE for each node, 0,1:512M/2,3:512M, or name a file with the guest's `info numa` or `numactl --hardware`";
const UNITS: Readonly<Record<string, number>> = { M: 2 ** 20, G: 2 ** 30 };
/** Nodes, and CPUs a replay follows. */
const MOST_NODES = 64;
const MOST_CPUS = 64;
/** Pages of a recording have numbers of 32 bits. */
const MOST_BYTES = 2 ** 44;
/** A file of a few lines. */
const LARGEST = 1 << 20;

/** Name of such a file beside recordings. */
export const NODES_FILE = "numa.txt";

interface Draft {
  cpus?: readonly number[];
  bytes?: number;
  address?: number;
  line?: number;
}

/**
 * @param given what the option says; absent: `numa.txt` beside the recordings
 * @throws InputError when neither is there, or it is none
 */
export function guestNodes(given: string | undefined, recordings: string): readonly GuestNode[] {
  if (given !== undefined && given.includes(":") && !existsSync(given)) return fromWord(given);
  if (given !== undefined) return fromFile(given);
  const beside = besideOf(recordings);
  if (beside === undefined)
    throw new InputError({
      file: OPTION,
      reason: `the recordings do not say which nodes their guest had, and no ${NODES_FILE} lies beside them`,
      remedy: HOW,
    });
  return fromFile(beside);
}

function besideOf(recordings: string): string | undefined {
  const folder = statSync(recordings, { throwIfNoEntry: false })?.isDirectory() ? recordings : dirname(recordings);
  const file = join(folder, NODES_FILE);
  return existsSync(file) ? foundFile(file) : undefined;
}

function fromWord(word: string): readonly GuestNode[] {
  return checked(
    word.split("/").map((part, i): Draft => {
      const match = /^([\d,-]*):(\d{1,6})([MG])(?:@(0x[0-9a-f]{1,12}|\d{1,15}))?$/i.exec(part.trim());
      const cpus = match && parseCpuList(match[1]!);
      if (!match || !cpus)
        throw new InputError({
          file: OPTION,
          reason: `node ${i}: ${JSON.stringify(part)} is not CPUS:SIZE`,
          remedy: HOW,
        });
      return {
        cpus,
        bytes: Number(match[2]) * UNITS[match[3]!.toUpperCase()]!,
        ...(match[4] === undefined ? {} : { address: Number(match[4]) }),
      };
    }),
    OPTION,
  );
}

function fromFile(file: string): readonly GuestNode[] {
  let text: string;
  try {
    const bytes = readFileSync(file);
    if (bytes.length > LARGEST) throw new InputError({ file, field: OPTION, reason: "larger than 1 MiB", remedy: HOW });
    text = new TextDecoder().decode(bytes);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file, field: OPTION, ...whyNot(error, HOW) });
  }
  const drafts: Draft[] = [];
  text.split(/\r?\n/).forEach((each, i) => {
    const match = /^\s*node (\d{1,3}) (cpus|size):\s*(.*?)\s*$/.exec(each);
    if (!match) return;
    const [, id, what, value] = match as unknown as [string, string, string, string];
    const draft = (drafts[Number(id)] ??= { line: i + 1 });
    if (what === "cpus") {
      const cpus = parseCpuList(value.replace(/\s+/g, ","));
      if (!cpus)
        throw new InputError({
          file,
          line: i + 1,
          field: `node ${id} cpus`,
          reason: `${JSON.stringify(value.slice(0, 40))} is no list of CPUs`,
          remedy: HOW,
        });
      draft.cpus = cpus;
    } else {
      const size = /^(\d{1,9}) ([MG])B$/.exec(value);
      if (!size)
        throw new InputError({
          file,
          line: i + 1,
          field: `node ${id} size`,
          reason: `${JSON.stringify(value.slice(0, 40))} is no size in MB or GB`,
          remedy: HOW,
        });
      draft.bytes = Number(size[1]) * UNITS[size[2]!]!;
    }
  });
  if (drafts.length === 0)
    throw new InputError({
      file,
      line: 1,
      field: OPTION,
      reason: "no line says which CPUs or memory a node has",
      remedy: HOW,
    });
  return checked(
    Array.from(drafts, (each): Draft => each ?? {}),
    file,
  );
}

/** Nodes one behind the other from physical address 0, unless an address says otherwise. */
function checked(drafts: readonly Draft[], file: string): readonly GuestNode[] {
  const fail = (node: number, reason: string): never => {
    throw new InputError({
      file,
      ...(drafts[node]!.line === undefined ? {} : { line: drafts[node]!.line }),
      field: `node ${node}`,
      reason,
      remedy: HOW,
    });
  };
  if (drafts.length > MOST_NODES)
    fail(MOST_NODES, `a guest of ${drafts.length} nodes is beyond the ${MOST_NODES} a replay follows`);
  const seen = new Set<number>();
  let next = 0;
  return drafts.map(({ cpus = [], bytes, address }, node): GuestNode => {
    if (bytes === undefined) return fail(node, "nothing says how much memory it has");
    for (const cpu of cpus) {
      if (cpu >= MOST_CPUS) fail(node, `CPU ${cpu} is beyond the ${MOST_CPUS} a replay follows`);
      if (seen.has(cpu)) fail(node, `CPU ${cpu} is in two nodes`);
      seen.add(cpu);
    }
    const start = address ?? next;
    if (start < next || start % PAGE_BYTES !== 0)
      fail(
        node,
        `its memory cannot begin at 0x${start.toString(16)}, where that of the node before ends at 0x${next.toString(16)}`,
      );
    next = start + bytes;
    if (next > MOST_BYTES) fail(node, "its memory ends beyond 16 TiB");
    return { firstPage: start / PAGE_BYTES, pages: bytes / PAGE_BYTES, cpus };
  });
}
