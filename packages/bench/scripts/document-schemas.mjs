/**
 * Makes the JSON Schemas of all documents from their types: `node packages/bench/scripts/document-schemas.mjs` writes
 * schemas/, a test holds the folder to it. The schema of machine files comes from the package machines.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { createGenerator } from "ts-json-schema-generator";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const HOME = "https://github.com/kreplica/kreplica/packages/bench/schemas";

/** The module of that name, compiled: this script runs in plain Node. */
async function load(file) {
  const { outputFiles } = await build({
    entryPoints: [join(root, file)],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

/** The generator writes draft 07; what it writes of our types is 2020-12 but for the names of two things. */
function renewed(value, path) {
  if (Array.isArray(value)) return value.map((each) => renewed(each, path));
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value.items)) throw new Error(`${path}: a tuple means something else in draft 2020-12`);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => {
      if (key === "definitions") return ["$defs", renewed(each, path)];
      if (key === "$ref") return [key, each.replace(/^#\/definitions\//, "#/$defs/")];
      return [key, renewed(each, `${path}/${key}`)];
    }),
  );
}

/**
 * @returns one schema a document, by the document's name
 * @throws an error of the generator, which names the type
 */
export async function documentSchemas() {
  const { DOCUMENTS } = await load("src/report/documents/documents.ts");
  const generator = createGenerator({
    path: join(root, "src/report/documents/*.ts"),
    tsconfig: join(root, "tsconfig.json"),
    skipTypeCheck: true,
    topRef: false,
    additionalProperties: false,
    expose: "export",
    jsDoc: "extended",
  });
  const { schemaFileName } = await load("src/schema-file.ts");
  return new Map(
    DOCUMENTS.map(({ name, type, command }) => {
      const { $defs = {}, description, ...shape } = renewed(generator.createSchema(type), name);
      delete shape.$schema;
      return [
        name,
        {
          $schema: "https://json-schema.org/draft/2020-12/schema",
          $id: `${HOME}/${schemaFileName(name)}`,
          title: name,
          description: `${description} See: kreplica ${command}.`,
          ...shape,
          ...(Object.keys($defs).length > 0 ? { $defs } : {}),
        },
      ];
    }),
  );
}

/** As it is written. */
export async function schemaTexts() {
  const { jsonText } = await load("src/report/documents/json-text.ts");
  const { schemaFileName } = await load("src/schema-file.ts");
  return new Map([...(await documentSchemas())].map(([name, schema]) => [schemaFileName(name), jsonText(schema)]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  for (const [file, text] of await schemaTexts()) writeFileSync(join(root, "schemas", file), text);
