/**
 * STYLE.md's blocks are taken from our sources, not written beside them: what stands below `<!-- from FILE: NAME, NAME
 * -->` is those declarations as they are. A name is a declaration's, `Class.member`, the title of a test, or `head`,
 * the file's first comment.
 *
 *   node scripts/style.mjs            writes the page
 *   node scripts/style.mjs --check    exit code 1 where it is not as the sources are
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function piece(file, source, name) {
  const whole = source.getFullText();
  const missing = () => new Error(`STYLE.md: ${file} has no ${name}: name another declaration, or the file it went to`);
  if (name === "head")
    return (
      /^\/\*\*[\s\S]*?\*\//.exec(whole)?.[0] ??
      (() => {
        throw missing();
      })()
    );
  const text = (node) =>
    whole.slice(ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc)?.getStart() ?? node.getStart(), node.getEnd());
  const [first, member] = name.split(".");
  const found = source.statements.filter(
    (each) =>
      each.name?.text === first ||
      each.declarationList?.declarations.some((one) => one.name.getText() === first) ||
      each.expression?.arguments?.[0]?.text === name,
  );
  if (found.length === 0) throw missing();
  if (member === undefined || found[0].expression) return found.map(text).join("\n");
  const inside = found.flatMap((each) => each.members ?? []).filter((each) => each.name?.getText() === member);
  if (inside.length === 0) throw missing();
  return inside.map(text).join("\n").replaceAll(/^ {2}/gm, "");
}

/** @param page STYLE.md's text @returns the same with every block as the sources have it now */
export function styled(page) {
  return page.replaceAll(/(<!-- from (\S+): (.+?) -->\n```ts\n)[\s\S]*?(?=^```$)/gm, (_, start, file, names) => {
    const source = ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.ES2023, true);
    return `${start}// ${file}\n${names
      .split(", ")
      .map((name) => piece(file, source, name))
      .join("\n\n")}\n`;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(root, "STYLE.md");
  const before = readFileSync(file, "utf8");
  const after = styled(before);
  if (process.argv.includes("--check") && after !== before) {
    console.error("STYLE.md is not as the sources are: node scripts/style.mjs");
    process.exit(1);
  }
  if (after !== before) writeFileSync(file, after);
}
