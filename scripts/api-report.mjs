/**
 * Compares a package's public surface with the committed `etc/NAME.api.md`, run in the package's folder. A change of
 * the surface is a decision, so it is seen in review: in CI a difference fails; elsewhere the report is rewritten.
 */
import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";
import { existsSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";

const silent = { logLevel: "none" };
const warn = { default: { logLevel: "warning" } };
const folder = process.cwd();
mkdirSync("etc", { recursive: true });
const config = ExtractorConfig.prepare({
  configObject: {
    newlineKind: "lf",
    projectFolder: folder,
    mainEntryPointFilePath: resolve(existsSync("dist/api.d.ts") ? "dist/api.d.ts" : "dist/index.d.ts"),
    compiler: {
      // Without the source condition: the report is about what is published.
      overrideTsconfig: {
        extends: "../../tsconfig.base.json",
        compilerOptions: { customConditions: [] },
        include: ["dist"],
      },
    },
    apiReport: {
      enabled: true,
      reportFolder: resolve("etc"),
      reportTempFolder: resolve(".reports/api"),
      reportFileName: "<unscopedPackageName>",
    },
    docModel: { enabled: false },
    dtsRollup: { enabled: false },
    tsdocMetadata: { enabled: false },
    messages: {
      compilerMessageReporting: warn,
      extractorMessageReporting: {
        ...warn,
        "ae-missing-release-tag": silent,
        "ae-undocumented": silent,
        "ae-forgotten-export": silent,
        "ae-unresolved-link": silent,
      },
      tsdocMessageReporting: { default: silent },
    },
  },
  configObjectFullPath: undefined,
  packageJsonFullPath: resolve("package.json"),
});
const { succeeded, apiReportChanged } = Extractor.invoke(config, {
  localBuild: !process.env.CI,
  messageCallback: (message) => {
    message.handled =
      message.logLevel === "verbose" ||
      message.logLevel === "info" ||
      message.messageId === "console-compiler-version-notice";
  },
});
if (!succeeded) {
  console.error(
    apiReportChanged
      ? "the public surface changed: run `node scripts/run.mjs turbo package` and commit etc/"
      : "the public surface could not be read",
  );
  process.exit(1);
}
