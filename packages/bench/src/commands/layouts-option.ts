/** `--layouts`: how far where functions, pages and tables lie moves every figure. */
import type { Command } from "commander";
import type { Rule } from "./rules.js";
import { numberOption, type Range, SEEDS } from "./values.js";

const LAYOUTS: Range = { least: 1, most: 1000 };

/** As commander fills it in. */
export interface LayoutsOptions {
  readonly layouts?: number;
  readonly layoutSeed?: number;
}

/** Without the first no figure moves, and none takes longer. */
export const addLayoutsOptions = (command: Command): Command =>
  command
    .addOption(
      numberOption(
        "--layouts <number>",
        "run every test with functions, pages and tables elsewhere, so many times, long tests in part: how far that alone moves each figure",
        LAYOUTS,
        "none",
      ),
    )
    .addOption(numberOption("--layout-seed <number>", "draws other layouts", SEEDS, "1"));

/** What goes with them. */
export const LAYOUTS_RULES: readonly Rule[] = [{ option: "--layout-seed", needs: "--layouts" }];
