/**
 * The API site: every door of every package, as its source documents it. `npm run api-site` writes it to
 * .cache/api-site.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";

const packages = readdirSync("packages").filter((name) => existsSync(`packages/${name}/package.json`));
/** Source of each door, as the manifest's exports name it. */
const doors = packages.flatMap((name) =>
  Object.values(JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8")).exports).map(
    (door) => `packages/${name}/${door["@kreplica/source"].slice(2)}`,
  ),
);

/** @type {Partial<import("typedoc").TypeDocOptions>} */
export default {
  name: "kreplica",
  entryPoints: doors,
  tsconfig: "tsconfig.api-site.json",
  plugin: ["./scripts/api-names.mjs"],
  out: ".cache/api-site",
  treatWarningsAsErrors: true,
  readme: "README.md",
  excludePrivate: true,
  excludeInternal: true,
  skipErrorChecking: true,
  githubPages: false,
  hideGenerator: true,
  // The repository's address, not the clone's: the same site from every clone.
  disableGit: true,
  sourceLinkTemplate: "https://github.com/kreplica/kreplica/blob/main/{path}#L{line}",
  blockTags: [
    "@defaultValue",
    "@deprecated",
    "@example",
    "@maximum",
    "@minItems",
    "@minLength",
    "@minimum",
    "@param",
    "@pattern",
    "@returns",
    "@see",
    "@throws",
    "@typeParam",
    "@patch",
    "@source",
  ],
  validation: { invalidLink: false, notExported: false, notDocumented: false, invalidPath: false },
  logLevel: "Warn",
};
