/**
 * Formats our sources: prettier at 120 columns, and comments, which prettier leaves as they are, wrapped at the same
 * width.
 *
 *   node scripts/format.mjs            writes
 *   node scripts/format.mjs --check    names what is not as it would write it; exit code 1
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const COLUMNS = 120;
/** A line of a comment: what stands before its text, and the text. */
const LINE = /^(\s*(?:\/\/\/?|\*(?!\/))\s)(\S.*)$/;
/** Lines in front of which nothing may be put: tags, lists, rows, fences, directives. */
const KEPT = /^(@|[-*+] |\d+\. |\||```|eslint|prettier|<reference|#)/;
/** Columns of a drawing or a table are its own. */
const DRAWN = /\S {3,}\S|[─│┌└├+]--/;

/** Wraps comments: what does not fit goes in front of the next line of the same paragraph. */
export function wrapped(source) {
  const lines = [];
  for (const line of source.split("\n")) {
    const block = line.length > COLUMNS ? /^(\s*)\/\*\* (.*\S) \*\/$/.exec(line) : null;
    if (!block) {
      lines.push(line);
      continue;
    }
    const parts = block[2].split(/ (?=@(?:param|returns|throws|source|patch|see)\b)/);
    lines.push(`${block[1]}/**`, ...parts.map((part) => `${block[1]} * ${part}`), `${block[1]} */`);
  }
  for (let i = 0; i < lines.length; i++) {
    const match = LINE.exec(lines[i]);
    if (!match || lines[i].length <= COLUMNS || DRAWN.test(match[2])) continue;
    const [, prefix, text] = match;
    const at = text.lastIndexOf(" ", COLUMNS - prefix.length);
    if (at <= 0) continue;
    const rest = text.slice(at + 1);
    lines[i] = prefix + text.slice(0, at);
    const next = LINE.exec(lines[i + 1] ?? "");
    if (next && next[1] === prefix && !KEPT.test(next[2]) && !DRAWN.test(next[2])) {
      lines[i + 1] = `${prefix}${rest} ${next[2]}`;
    } else {
      // What belongs to a tag or an entry of a list is set in.
      lines.splice(i + 1, 0, `${prefix}${/^(@|- )/.test(text) ? "  " : ""}${rest}`);
    }
  }
  return lines.join("\n");
}

/** Both, until neither changes anything. */
export async function formatted(source, file) {
  const options = { ...(await resolveConfig(file)), filepath: file };
  let text = source;
  for (let pass = 0; pass < 4; pass++) {
    const next = await format(wrapped(text), options);
    if (next === text) break;
    text = next;
  }
  return text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  const files = execFileSync("git", ["ls-files", "*.ts", "*.mts", "*.mjs"], { cwd: root, encoding: "utf8" }).split(
    "\n",
  );
  let different = 0;
  for (const file of files.filter((each) => each !== "" && existsSync(join(root, each)))) {
    const source = readFileSync(join(root, file), "utf8");
    const text = await formatted(source, join(root, file));
    if (text === source) continue;
    different++;
    if (check) console.log(`not formatted: ${file}`);
    else writeFileSync(join(root, file), text);
  }
  console.log(check ? `${different} files to format; "npm run format" does it` : `${different} files written`);
  if (check && different > 0) process.exitCode = 1;
}
