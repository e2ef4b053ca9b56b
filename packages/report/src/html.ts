/** Text to markup: escaping, and figures that say which value of the document they show. */
import type { ReportDocument } from "./document.js";

/** As text or as an attribute's value in double quotes. */
export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** How a number is written. */
export interface Form {
  /** Digits after the point. */
  readonly digits?: number;
  /** The value is divided by this before it is written: 1024 for KiB. */
  readonly scale?: number;
  /** Stands behind the number. */
  readonly unit?: string;
  /** A plus before what is above nought. */
  readonly signed?: boolean;
}

/** Commas between thousands, whatever the locale. */
export const written = (value: number, { digits = 0, scale = 1, signed = false }: Form = {}): string => {
  const fixed = (value / scale).toFixed(digits);
  const text = Number(fixed) === 0 ? fixed.replace(/^-/, "") : fixed;
  const [whole, ...rest] = text.split(".");
  const grouped = whole!.replaceAll(/\B(?=(\d{3})+$)/g, ",");
  return [(signed && Number(fixed) > 0 ? "+" : "") + grouped, ...rest].join(".");
};

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** The largest unit of which there is at least one. */
export const bytesForm = (bytes: number): Form => {
  let power = 0;
  while (power < UNITS.length - 1 && Math.abs(bytes) >= 1024 ** (power + 1)) power++;
  const scale = 1024 ** power;
  return { scale, unit: UNITS[power]!, digits: bytes % scale === 0 ? 0 : 1 };
};

/** A part of the document by its path, `comparison.tests.0.gainPercent`. */
export const valueAt = (document: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined,
      document,
    );

/**
 * Writes figures and words of a document so that each says where in the document it stands (`data-from`), and by what
 * it was divided (`data-scale`): whoever reads the page can find every number in the JSON beside it.
 */
export class Figures<Document = ReportDocument> {
  constructor(readonly document: Document) {}

  /**
   * A number in running text.
   *
   * @throws Error when the document has no number there: the page would say something nobody measured
   */
  number(path: string, form: Form = {}): string {
    return this.#element("data", path, form);
  }

  /** The same in a picture. */
  label(path: string, form: Form = {}): string {
    return this.#element("tspan", path, form);
  }

  /** Bytes in the largest unit that fits. */
  bytes(path: string): string {
    return this.number(path, bytesForm(this.#numberAt(path)));
  }

  /** Words of the document. */
  text(path: string, element: "span" | "tspan" = "span"): string {
    const value = valueAt(this.document, path);
    if (typeof value !== "string" && typeof value !== "number") throw new Error(`the document has no text at ${path}`);
    return `<${element} data-from="${escaped(path)}">${escaped(String(value))}</${element}>`;
  }

  /** The same, what stands in backticks as code: the words stay the document's. */
  prose(path: string): string {
    return this.text(path).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
  }

  #element(element: "data" | "tspan", path: string, form: Form): string {
    const value = this.#numberAt(path);
    const scale = form.scale === undefined || form.scale === 1 ? "" : ` data-scale="${form.scale}"`;
    const exact = element === "data" ? ` value="${value}"` : "";
    return `<${element} data-from="${escaped(path)}"${scale}${exact}>${written(value, form)}</${element}>${form.unit === undefined ? "" : ` ${form.unit}`}`;
  }

  #numberAt(path: string): number {
    const value = valueAt(this.document, path);
    if (typeof value !== "number") throw new Error(`the document has no number at ${path}`);
    return value;
  }
}

/** Columns beyond which a table is set smaller, to have room on a page of 1280 pixels and on A4. */
const MANY = 11;

/**
 * A table with a head; cells are markup. The first column names its row.
 *
 * @param words columns that hold words, not figures
 */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { sortable = true, words = [] }: { readonly sortable?: boolean; readonly words?: readonly number[] } = {},
): string {
  const left = (column: number): string => (words.includes(column) ? ' class="left"' : "");
  const columns = head.map((each, column) => `<th scope="col"${left(column)}>${each}</th>`).join("");
  const body = rows
    .map(
      ([first, ...rest]) =>
        `<tr><th scope="row">${first}</th>${rest.map((cell, i) => `<td${left(i + 1)}>${cell}</td>`).join("")}</tr>`,
    )
    .join("\n");
  const classes = [...(sortable ? ["sortable"] : []), ...(head.length > MANY ? ["many"] : [])].join(" ");
  return `<div class="wide" tabindex="0" role="region" aria-label="${escaped(caption)}"><table${classes === "" ? "" : ` class="${classes}"`}><caption><span>${caption}</span></caption><thead><tr>${columns}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

/** A part that can be folded. @param open not folded at first */
export const folded = (summary: string, content: string, open = false): string =>
  `<details${open ? " open" : ""}><summary>${summary}</summary>${content}</details>`;

/** A picture with its words for those who do not see it. */
export const picture = (width: number, height: number, title: string, content: string): string =>
  `<div class="drawing" tabindex="0" role="group" aria-label="${escaped(title)}"><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}" style="max-width:${width}px"><title>${escaped(title)}</title>${content}</svg></div>`;

/** A coordinate, short. */
export const at = (value: number): string => String(Math.round(value * 10) / 10);
