/// <reference types="node" />
/** Validates documents against the published schemas, with a validator that is none of ours. */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { SCHEMAS } from "../../src/report/documents/documents.js";
import { schemaFile } from "../../src/schema-file.js";

export type Schema = Readonly<Record<string, unknown>>;

/** A published schema. @param name `kreplica.boot/1` */
export const schemaOf = (name: string): Schema => JSON.parse(readFileSync(schemaFile(name), "utf8")) as Schema;

const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
for (const { name } of SCHEMAS) ajv.addSchema(schemaOf(name), name);

/** @returns what is wrong with a document, a line each; none when it is as its schema says */
export function faultsOf(document: unknown, name: string): string[] {
  const validate = ajv.getSchema(name)!;
  return validate(document)
    ? []
    : validate.errors!.map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
}
