/** Lint: what the compiler and the dependency rules cannot say. Layout is the formatter's (scripts/format.mjs). */
import js from "@eslint/js";
import typescript from "typescript-eslint";

const clocks = ["Date", "performance", "setTimeout", "setInterval", "setImmediate", "process", "fetch", "crypto"];

export default typescript.config(
  { ignores: ["**/dist/**", "**/etc/**", "**/.reports/**", "**/.cache/**"] },
  js.configs.recommended,
  ...typescript.configs.recommended,
  {
    files: ["packages/**/*.ts", "packages/**/*.tsx"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off", // typed-array reads under noUncheckedIndexedAccess
      "@typescript-eslint/no-redeclare": "off", // a token and its interface share a name
      "no-redeclare": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" },
      ],
      "no-restricted-imports": [
        "error",
        {
          paths: [
            { name: "tsyringe", message: "import @kreplica/di" },
            { name: "reflect-metadata", message: "import @kreplica/di" },
          ],
        },
      ],
      "no-fallthrough": "error",
      "prefer-const": "error",
      eqeqeq: "error",
    },
  },
  { files: ["packages/di/src/**/*.ts"], rules: { "no-restricted-imports": "off" } },
  {
    files: ["packages/*/src/**/*.ts"],
    ignores: ["packages/bench/**", "packages/explorer/src/page/**"],
    rules: {
      "no-restricted-globals": [
        "error",
        ...clocks.map((name) => ({ name, message: "same seed, same bytes: no clock, no host" })),
      ],
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: "take a seeded source" }],
    },
  },
  { files: ["**/*.cjs"], languageOptions: { globals: { module: "writable" } } },
  {
    files: ["**/*.mjs", "**/*.js"],
    languageOptions: {
      globals: {
        process: "readonly",
        console: "readonly",
        URL: "readonly",
        Buffer: "readonly",
        setTimeout: "readonly",
        setInterval: "readonly",
        clearInterval: "readonly",
        performance: "readonly",
        fetch: "readonly",
      },
    },
  },
);
