/**
 * A story and a moment of it as the part of an address behind `#`, and back: a link shows another person the same step.
 * Operations are JSON in base64url; everything else reads as it is, and what is as in the first place is left out.
 */
import type { Moment } from "./model/view.js";
import { bytesOf, lettersOf } from "./packed.js";

/** What an address says: a story as far as its shape goes, and what is looked at. */
export interface Place {
  readonly nodes: number;
  readonly levels: 4 | 5;
  readonly pti: boolean;
  readonly kasan?: boolean;
  readonly configuration?: string;
  readonly policy: string;
  readonly laid: readonly string[];
  readonly operations: readonly { readonly op: string }[];
  readonly moment: Moment;
  /** What is looked into: an address, hexadecimal with 0x, or a symbol of the kernel. */
  readonly page?: string;
  /** A preset's name, or a machine of somebody's own: its name and, packed, all of it. */
  readonly machine?: string;
  /** A kernel of somebody's own: its file's name, and the beginning of its SHA-256. */
  readonly kernel?: string;
  /** A recording, named alike. */
  readonly recording?: string;
  /** Of the recording: the reference that is looked at, from 0, and the node that runs it. */
  readonly reference?: number;
  readonly on?: number;
  /** CPU whose caches are seen; 0 when absent. */
  readonly cpu?: number;
  /** Process whose tables are seen; the kernel's own when absent. */
  readonly whose?: number;
  /** Tables that somebody opened (`+` and the way there) or closed (`-`), beside those that are open by themselves. */
  readonly tables?: readonly string[];
  /** Folds that are open. */
  readonly folds?: readonly string[];
}

/** The most nodes a picture has room for. */
export const MOST_NODES = 8;
/** Steps of the boot: where a story without operations begins to be of interest. */
export const AFTER_BOOT = 19;
/** Beyond the last step of any story: what is seen is the last there is, of whichever story is told by then. */
export const BEHIND_ALL = 100_000;

/** Where the page goes that is told nothing: the corrected series on two nodes, booted. */
export const FIRST: Place = {
  nodes: 2,
  levels: 4,
  pti: false,
  policy: "per-node",
  laid: [],
  operations: [],
  moment: { step: AFTER_BOOT, store: 0 },
};

const encoded = (value: unknown): string => lettersOf(new TextEncoder().encode(JSON.stringify(value)));

const decoded = (text: string): unknown => JSON.parse(new TextDecoder().decode(bytesOf(text)));

/** The part behind `#`, without it; nodes are always in it, that no address is empty. */
export function hashOf(place: Place): string {
  const { nodes, levels, pti, kasan, configuration, policy, laid, operations, moment } = place;
  const { page, machine, kernel, recording, reference, on, cpu, whose, tables = [], folds = [] } = place;
  return new URLSearchParams({
    nodes: String(nodes),
    ...(levels === FIRST.levels ? {} : { levels: String(levels) }),
    ...(pti ? { pti: "on" } : {}),
    ...(kasan ? { kasan: "on" } : {}),
    ...(configuration === undefined ? {} : { configuration }),
    ...(policy === FIRST.policy ? {} : { policy }),
    ...(laid.length === 0 ? {} : { laid: laid.join(",") }),
    ...(moment.step === FIRST.moment.step ? {} : { step: String(moment.step) }),
    ...(moment.store === 0 ? {} : { store: String(moment.store) }),
    ...(page === undefined ? {} : { page }),
    ...(machine === undefined ? {} : { machine }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(recording === undefined ? {} : { recording, reference: String(reference ?? 0) }),
    ...(on === undefined ? {} : { on: String(on) }),
    ...(cpu ? { cpu: String(cpu) } : {}),
    ...(whose === undefined ? {} : { whose: String(whose) }),
    ...(tables.length === 0 ? {} : { tables: tables.join("~") }),
    ...(folds.length === 0 ? {} : { folds: folds.join("~") }),
    ...(operations.length === 0 ? {} : { do: encoded(operations) }),
  }).toString();
}

/** The lesson that an address asks for by name alone, `#lesson=mremap-flush`; undefined for any other address. */
export const lessonIn = (hash: string): string | undefined =>
  new URLSearchParams(hash.replace(/^#/, "")).get("lesson") ?? undefined;

/** The part behind `#` that leads to a lesson's beginning, without it. @param id of a defect, or of the museum's bug */
export const hashOfLesson = (id: string): string => new URLSearchParams({ lesson: id }).toString();

/** What an address calls a file: its name, and by its first 16 digits the SHA-256 of its bytes, hexadecimal. */
export const keyOf = (name: string, digest: string): string => `${name}~${digest.slice(0, 16)}`;

/** The name in what an address calls something: what stands before the last `~`, or all of it. */
export const nameOfKey = (key: string): string => (key.includes("~") ? key.slice(0, key.lastIndexOf("~")) : key);

/** Tables and folds that an address opens, at most. */
const MOST_OPEN = 200;
/** A file's name and digits of its SHA-256. */
const OPENED = /^.{1,200}~[0-9a-f]{16}$/s;
/** A preset's name, or any and the letters of a packed document. */
const MACHINE = /^([a-z0-9][a-z0-9.-]{0,63}|[^~]{1,200}~[\w-]{1,60000})$/;
/** What can be looked into: an address with 0x, or a symbol. */
export const PAGE = /^(0x[0-9a-f]{1,16}|[A-Za-z_.$][\w.$]{0,127})$/;

const whole = (text: string | null, least: number, most: number): number | undefined =>
  text !== null && /^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : undefined;

/**
 * What an address says; what it leaves out, or what it says that is not a value, is as in `other`. Whether policy,
 * defects and operations are any there are is for the reader to see.
 */
export function placeOf(hash: string, other: Place = FIRST): Place {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const kasan = said.get("kasan") === "on";
  const configuration = said.get("configuration");
  const text = (name: "machine" | "kernel" | "recording", shape: RegExp): Partial<Place> => {
    const value = said.get(name);
    return value !== null && shape.test(value) ? { [name]: value } : {};
  };
  const number = (name: "reference" | "on" | "cpu" | "whose", most: number): Partial<Place> => {
    const value = whole(said.get(name), 0, most);
    return value === undefined || (name === "cpu" && value === 0) ? {} : { [name]: value };
  };
  const list = (name: "tables" | "folds"): Partial<Place> => {
    const value = said.get(name);
    return value === null ? {} : { [name]: value.split("~").slice(0, MOST_OPEN) };
  };
  const page = said.get("page");
  const recording = text("recording", OPENED);
  return {
    nodes: whole(said.get("nodes"), 1, MOST_NODES) ?? other.nodes,
    levels: said.get("levels") === "5" ? 5 : 4,
    pti: said.get("pti") === "on",
    ...(kasan ? { kasan } : {}),
    ...(configuration === null ? {} : { configuration }),
    policy: said.get("policy") ?? other.policy,
    laid: said.get("laid")?.split(",") ?? [],
    operations: operationsIn(said.get("do")),
    moment: {
      step: whole(said.get("step"), 0, 100_000) ?? other.moment.step,
      store: whole(said.get("store"), 0, 999_999) ?? 0,
    },
    ...(page !== null && PAGE.test(page) ? { page } : {}),
    ...text("machine", MACHINE),
    ...text("kernel", OPENED),
    ...recording,
    ...("recording" in recording ? number("reference", 999_999_999) : {}),
    ...number("on", 1023),
    ...number("cpu", 65_535),
    ...number("whose", 999),
    ...list("tables"),
    ...list("folds"),
  };
}

function operationsIn(text: string | null): Place["operations"] {
  if (text === null) return [];
  try {
    const found = decoded(text);
    return Array.isArray(found) ? found.filter((each): each is { op: string } => typeof each?.op === "string") : [];
  } catch {
    return [];
  }
}
