/** `kreplica schema`: the schemas of all JSON documents, listed or printed. */
import { readFileSync } from "node:fs";
import { didYouMean, InputError } from "@kreplica/inputs";
import type { Command } from "commander";
import { SCHEMAS } from "../report/documents/documents.js";
import { jsonText } from "../report/documents/json-text.js";
import { schemasDocument } from "../report/documents/schemas.js";
import { hanging } from "../report/terminal.js";
import { schemaFile } from "../schema-file.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { jsonOption, type JsonOption } from "./options.js";

export function registerSchema(program: Command, context: CommandContext): void {
  program
    .command("schema")
    .summary("list the JSON documents, or print the schema of one")
    .description(
      "What is in the JSON documents that kreplica prints, writes and reads: a JSON Schema (2020-12) each. Without an argument: their names, and the command each belongs to. Of a document's version only fields are added.",
    )
    .argument("[name]", "name as in the document's field schema, or short: kreplica.boot/1 or boot")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica schema", "all of them"],
        ["kreplica schema compare", "what `kreplica compare --json` prints"],
        ["kreplica schema machine > machine.json", "for an editor that completes machine files"],
      ) + exitCodes,
    )
    .action((name: string | undefined, options: JsonOption) => {
      const listed = SCHEMAS.map(({ name: each, command }) => ({ name: each, command, file: schemaFile(each) }));
      if (name !== undefined) context.print(readFileSync(schemaNamed(name), "utf8"));
      else if (options.json) context.print(jsonText(schemasDocument(listed)));
      else
        context.print(
          listed.map((each) => hanging(each.name, `kreplica ${each.command}`, context.screen, 27)).join(""),
        );
    });
}

/** `kreplica.boot/1` as `boot`. */
const shortName = (name: string): string => name.replace(/^kreplica\.(.*)\/\d+$/, "$1");

/** @returns path of the schema @throws InputError when there is none of that name */
function schemaNamed(name: string): string {
  const found = SCHEMAS.find((each) => each.name === name || shortName(each.name) === name);
  if (found) return schemaFile(found.name);
  throw new InputError({
    file: "[name]",
    reason: `there is no document ${JSON.stringify(name)}`,
    remedy: didYouMean(
      name,
      SCHEMAS.map((each) => shortName(each.name)),
    ),
  });
}
