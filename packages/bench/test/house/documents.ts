/// <reference types="node" />
/** What the documents promise that can be looked up: links, paths, commands; for the tests beside it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");

/** Something a document says, and where. */
export interface Said {
  readonly text: string;
  readonly place: string;
  /** Folder of the document, from the root. */ readonly folder: string;
}

const below = (folder: string): string[] =>
  !existsSync(join(root, folder))
    ? []
    : readdirSync(join(root, folder), { withFileTypes: true }).flatMap((each) =>
        each.isDirectory() ? below(`${folder}/${each.name}`) : [`${folder}/${each.name}`],
      );

/** Every document a reader may come upon: at the root, below docs, and each package's README. */
export const documents: readonly string[] = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...below("docs").filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "packages"))
    .map((name) => `packages/${name}/README.md`)
    .filter((name) => existsSync(join(root, name))),
].sort();

export const textOf = (document: string): string => readFileSync(join(root, document), "utf8");

/** All matches of the first group, with the line they stand on. */
function say(document: string, text: string, pattern: RegExp): Said[] {
  return [...text.matchAll(pattern)].map((match) => ({
    text: match[1]!,
    place: `${document}:${text.slice(0, match.index).split("\n").length}`,
    folder: dirname(document),
  }));
}

/** Fenced blocks blanked, lines kept: what stands in them is program text or output. */
const withoutBlocks = (text: string): string =>
  text.replaceAll(/```[\s\S]*?```/g, (block) => block.replaceAll(/[^\n]/g, " "));

/** Targets of links that are no addresses of the web. */
export const links = (): Said[] =>
  documents
    .flatMap((each) => say(each, withoutBlocks(textOf(each)), /\]\(([^)\s]+)\)/g))
    .filter(({ text }) => !/^[a-z]+:/.test(text));

/** Text between back ticks, on one line. */
const quoted = (): Said[] => documents.flatMap((each) => say(each, withoutBlocks(textOf(each)), /`([^`\n]+)`/g));

/**
 * Quoted words that name a file or folder of the repository: with a slash, and an ending of ours or a first folder of
 * ours.
 */
export const paths = (): Said[] =>
  quoted().filter(
    ({ text }) =>
      /^[\w@.-]+(\/[\w@*.-]+)+\/?$/.test(text) &&
      (/\.(ts|mjs|md|json|yaml|yml)$/.test(text) || /^(packages|docs|scripts|examples|\.ci|\.github)\//.test(text)),
  );

/**
 * Commands: quoted ones, and lines of shell blocks, without their remarks; but not those of recipes, which are run
 * where what they add is there.
 */
export function commands(): Said[] {
  const recipes = (each: string): string =>
    each === "CONTRIBUTING.md"
      ? textOf(each).replaceAll(
          /^## [^\n]*\n(?:(?!^## )[^\n]*\n)*?[^\n]*[Bb]y hand \d+ files?\b(?:(?!^## )[^\n]*(?:\n|$))*/gm,
          (part) => part.replaceAll(/[^\n]/g, " "),
        )
      : textOf(each);
  const blocks = documents.flatMap((each) =>
    [...recipes(each).matchAll(/^```(?:sh|bash|console)\n([\s\S]*?)^```/gm)].flatMap((block) =>
      block[1]!.split("\n").map((line, index) => ({
        text: line
          .replace(/^\$ /, "")
          .replace(/\s+#.*$/, "")
          .trim(),
        place: `${each}:${textOf(each).slice(0, block.index).split("\n").length + 1 + index}`,
        folder: dirname(each),
      })),
    ),
  );
  return [...quoted(), ...blocks].filter(
    ({ text }) =>
      /^(kreplica|npm|npx|node|bash|cd|cp|mkdir|numactl|mlc) /.test(text) ||
      text === "npm start" ||
      text === "npm test",
  );
}

/** Words of a `kreplica` command, however it is called; undefined for another program. */
export function words(text: string): string[] | undefined {
  const command =
    /^(?:npx --package @kreplica\/\w+ |npx )?kreplica (.*)$/.exec(text)?.[1] ??
    /^npm start(?: --silent)? -- (.*)$/.exec(text)?.[1];
  return command
    ?.replace(/\s*[>|;].*$/, "")
    .split(/\s+/)
    .filter((word) => word !== "");
}
