/// <reference types="node" />
/**
 * What an editor shows of a package from npm: every declaration in a shipped declaration file has its comment, and no
 * comment that the source gives a member is lost on the way.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, inject, test } from "vitest";
import { packages, root } from "./packed.js";

const filesBelow = (folder: string, end: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(end))
    .map((file) => join(folder, file));

type Comments = Map<string, boolean[]>;
const said = (node: ts.Node): boolean => ts.getJSDocCommentsAndTags(node).length > 0;
const note = (into: Comments, name: string, node: ts.Node): void => {
  into.set(name, [...(into.get(name) ?? []), said(node)]);
};

function namesOf(statement: ts.Statement): readonly string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  const named =
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isEnumDeclaration(statement) ||
    ts.isFunctionDeclaration(statement);
  return named && statement.name ? [statement.name.text] : [];
}

/**
 * Whether each declaration of a package's files (`Name`) and each public member of one (`Name.member`) has a comment;
 * of one name several may be declared.
 */
function comments(files: readonly string[]): { declarations: Comments; members: Comments } {
  const declarations: Comments = new Map(),
    members: Comments = new Map();
  for (const file of files) {
    for (const statement of ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2023, true)
      .statements) {
      for (const name of namesOf(statement)) note(declarations, name, statement);
      if (
        !ts.isClassDeclaration(statement) &&
        !ts.isInterfaceDeclaration(statement) &&
        !ts.isEnumDeclaration(statement)
      )
        continue;
      for (const member of statement.members) {
        const hidden =
          ts.canHaveModifiers(member) &&
          (ts.getModifiers(member) ?? []).some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword);
        if (member.name && !hidden) note(members, `${statement.name!.text}.${member.name.getText()}`, member);
      }
    }
  }
  return { declarations, members };
}

test.each(packages)("every declaration that %s ships has a comment, and no member's comment is lost", (name) => {
  const shipped = comments(filesBelow(join(inject("consumer"), "node_modules/@kreplica", name, "dist"), ".d.ts"));
  // An interface and the token of its name are one for a reader.
  expect([...shipped.declarations].filter(([, each]) => !each.some(Boolean)).map(([each]) => each)).toEqual([]);
  const source = comments(filesBelow(join(root, "packages", name, "src"), ".ts"));
  expect(
    [...shipped.members]
      .filter(([each, has]) => source.members.get(each)?.every(Boolean) && !has.every(Boolean))
      .map(([each]) => each),
  ).toEqual([]);
  expect(shipped.declarations.size).toBeGreaterThan(0);
});
