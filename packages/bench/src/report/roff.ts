/** Text as man pages have it: the requests of man(7), which groff and mandoc both set. */

/** Text within a line: nothing in it is a request, and a dash is the one that is typed. */
const escaped = (text: string): string => text.replaceAll("\\", "\\e").replaceAll("-", "\\-");

/** A line of text; one that begins like a request is none. */
const line = (text: string): string => `${/^[.']/.test(text) ? "\\&" : ""}${escaped(text)}\n`;

/** A word of an argument of a request. */
const quoted = (text: string): string => `"${escaped(text).replaceAll('"', "\\(dq")}"`;

/** The page's head: name, section 1, and what it belongs to. It has no date: the same sources make the same page. */
export const head = (name: string, version: string): string =>
  `.TH ${quoted(name.toUpperCase())} 1 "" ${quoted(`kreplica ${version}`)} "kreplica"\n`;

export const section = (title: string, body: string): string => `.SH ${quoted(title.toUpperCase())}\n${body}`;

/** Lines of prose, filled. */
export const prose = (text: string): string => text.trim().split("\n").map(line).join("");

/** A new paragraph of prose. */
export const paragraph = (text: string): string => `.PP\n${prose(text)}`;

/** In bold. */
export const bold = (text: string): string => `.B ${quoted(text)}\n`;

/** A term and what it is, hanging. */
export const term = (name: string, about: string): string => `.TP\n${bold(name)}${prose(about)}`;

/** Lines as they are. */
export const verbatim = (text: string): string => `.PP\n.nf\n${text.trimEnd().split("\n").map(line).join("")}.fi\n`;
