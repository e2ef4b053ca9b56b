/**
 * Checks the types of all packages and of examples/, each by its own tsconfig.json, in one process: `tsc -p .` in each
 * checks the sources of all packages below it again; here a file is checked once, in the package that it is of, and
 * parsed once.
 *
 *   node scripts/types.mjs [PACKAGE ...]     prints what is wrong as tsc does, and ends with 1; all without a name
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const folders = [
  ...readdirSync(join(root, "packages"))
    .sort()
    .map((name) => join(root, "packages", name)),
  join(root, "examples"),
].filter((folder) => existsSync(join(folder, "tsconfig.json")));
const wanted = process.argv.slice(2);
const chosen = folders.filter((folder) => wanted.length === 0 || wanted.includes(basename(folder)));
if (chosen.length === 0 || (wanted.length > 0 && chosen.length !== wanted.length)) {
  process.stderr.write(
    `usage: node scripts/types.mjs [${folders.map((folder) => basename(folder)).join(" | ")} ...]\n`,
  );
  process.exit(2);
}

const parsed = new Map();
const said = [];
let files = 0;
for (const folder of chosen) {
  const stop = (diagnostic) => {
    throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"));
  };
  const config = ts.getParsedCommandLineOfConfigFile(join(folder, "tsconfig.json"), undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: stop,
  });
  const host = ts.createCompilerHost(config.options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, how, ...more) => {
    const key = `${name}\0${JSON.stringify(how)}`;
    if (!parsed.has(key)) parsed.set(key, read(name, how, ...more));
    return parsed.get(key);
  };
  const program = ts.createProgram({ rootNames: config.fileNames, options: config.options, host });
  said.push(...config.errors, ...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics());
  for (const file of program.getSourceFiles()) {
    const own =
      file.fileName.startsWith(folder.replaceAll(sep, "/") + "/") && !file.fileName.includes("/node_modules/");
    if (!own) continue;
    files++;
    said.push(...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file));
  }
}
const format = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => "\n" };
process.stdout.write(ts.formatDiagnostics(said, format));
process.stdout.write(
  `${files} files of ${chosen.length} projects: ${said.length === 0 ? "no faults" : `${said.length} faults`}\n`,
);
process.exitCode = said.length > 0 ? 1 : 0;
