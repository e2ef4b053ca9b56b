/// <reference types="node" />
/** The published schemas are what the types say, and leave nothing open. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { schemaTexts } from "../../scripts/document-schemas.mjs";
import { DOCUMENTS, SCHEMAS } from "../../src/report/documents/documents.js";
import { schemaFileName } from "../../src/schema-file.js";
import { invoke } from "../invoke.js";
import { type Schema, schemaOf } from "./validator.js";

const folder = join(import.meta.dirname, "../../schemas");

test("the folder is what the types make", async () => {
  const made = await schemaTexts();
  expect(readdirSync(folder).sort()).toEqual(SCHEMAS.map(({ name }) => schemaFileName(name)).sort());
  for (const [file, text] of made)
    expect(
      readFileSync(join(folder, file), "utf8"),
      `${file}: its type has changed; node packages/bench/scripts/document-schemas.mjs writes it anew`,
    ).toBe(text);
});

test("every document's type is exported", () => {
  const door = readFileSync(join(import.meta.dirname, "../../src/documents.ts"), "utf8");
  for (const { type } of DOCUMENTS) expect(door).toMatch(new RegExp(`\\b${type}\\b`));
});

/** Schemas of objects in a schema, with their places. */
function objectsIn(schema: unknown, place: string): [string, Schema][] {
  if (Array.isArray(schema)) return schema.flatMap((each, i) => objectsIn(each, `${place}/${i}`));
  if (typeof schema !== "object" || schema === null) return [];
  const inner = Object.entries(schema).flatMap(([key, each]) => objectsIn(each, `${place}/${key}`));
  return (schema as Schema)["type"] === "object" ? [[place, schema as Schema], ...inner] : inner;
}

test.each(SCHEMAS.map(({ name }) => name))("%s: no object takes a field that is not named", (name) => {
  const objects = objectsIn(schemaOf(name), "");
  expect(objects.length).toBeGreaterThan(0);
  for (const [place, { additionalProperties }] of objects) {
    expect(additionalProperties, place).toBeDefined();
    // Names of recordings, nodes and an operation's own fields: any name, but values of one kind.
    if (additionalProperties !== false) expect(typeof additionalProperties, place).toBe("object");
  }
});

test("schema prints each by either name, and lists them", async () => {
  const listed = await invoke(["schema"]);
  for (const { name } of SCHEMAS) {
    expect(listed.out).toContain(`${name} `);
    const short = name.slice("kreplica.".length, -2);
    const [long, brief] = [await invoke(["schema", name]), await invoke(["schema", short])];
    expect([long.code, long.out]).toEqual([0, readFileSync(join(folder, schemaFileName(name)), "utf8")]);
    // The short name is the newest form's.
    const newest = SCHEMAS.find((each) => each.name.replace(/\/\d+$/, "") === `kreplica.${short}`)!.name;
    expect(brief.out).toBe(readFileSync(join(folder, schemaFileName(newest)), "utf8"));
  }
  const { code, error } = await invoke(["schema", "bot"]);
  expect(code).toBe(2);
  expect(error).toMatch(/^kreplica: \[name\]: there is no document "bot"\. Did you mean boot\?/);
});
