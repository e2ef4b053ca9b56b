/**
 * A story and a moment of it as the part of an address behind `#`, and back: a link shows another person the same step.
 * Operations are JSON in base64url; everything else reads as it is.
 */
import type { Moment } from "./model/view.js";

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
  /** An address that is looked into, hexadecimal with 0x. */
  readonly page?: string;
}

const encoded = (value: unknown): string =>
  btoa(Array.from(new TextEncoder().encode(JSON.stringify(value)), (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

function decoded(text: string): unknown {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** The part behind `#`, without it. */
export function hashOf(place: Place): string {
  const { nodes, levels, pti, kasan, configuration, policy, laid, operations, moment, page } = place;
  return new URLSearchParams({
    nodes: String(nodes),
    levels: String(levels),
    pti: pti ? "on" : "off",
    ...(kasan ? { kasan: "on" } : {}),
    ...(configuration === undefined ? {} : { configuration }),
    policy,
    ...(laid.length === 0 ? {} : { laid: laid.join(",") }),
    step: String(moment.step),
    ...(moment.store === 0 ? {} : { store: String(moment.store) }),
    ...(page === undefined ? {} : { page }),
    ...(operations.length === 0 ? {} : { do: encoded(operations) }),
  }).toString();
}

/** The lesson that an address asks for by name alone, `#lesson=mremap-flush`; undefined for any other address. */
export const lessonIn = (hash: string): string | undefined =>
  new URLSearchParams(hash.replace(/^#/, "")).get("lesson") ?? undefined;

/** The part behind `#` that leads to a lesson's beginning, without it. @param id of a defect, or of the museum's bug */
export const hashOfLesson = (id: string): string => new URLSearchParams({ lesson: id }).toString();

const whole = (text: string | null, least: number, most: number): number | undefined =>
  text !== null && /^\d{1,6}$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : undefined;

/**
 * What an address says; what it leaves out, or what it says that is not a value, is as in `other`. Whether policy,
 * defects and operations are any there are is for the reader to see.
 */
export function placeOf(hash: string, other: Place): Place {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const kasan = said.get("kasan") === "on";
  const configuration = said.get("configuration");
  const page = said.get("page");
  return {
    nodes: whole(said.get("nodes"), 1, 8) ?? other.nodes,
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
    ...(page !== null && /^0x[0-9a-f]{1,16}$/.test(page) ? { page } : {}),
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
