/** `--functions` and `--pages`: how much is told of where in the text the cycles of a comparison went. */
import type { Command } from "commander";
import type { ListedPlaces } from "@kreplica/replay";
import { numberOption } from "./values.js";

/** As commander fills them in. */
export interface PlacesOptions {
  readonly functions?: number;
  readonly pages?: number;
}

const LISTED = { least: 1, most: 10_000 };

/** Adds both. */
export const addPlacesOptions = (command: Command): Command =>
  command
    .addOption(
      numberOption(
        "--functions <number>",
        "list the functions of kernel text that most far cycles went to, so many a test, on the CPU looked at",
        LISTED,
      ),
    )
    .addOption(numberOption("--pages <number>", "list pages of kernel text likewise", LISTED));

/** What is to be listed, where anything is. */
export const listedPlaces = ({ functions, pages }: PlacesOptions): { readonly listed?: ListedPlaces } =>
  functions === undefined && pages === undefined
    ? {}
    : {
        listed: {
          ...(functions === undefined ? {} : { functions }),
          ...(pages === undefined ? {} : { pages }),
        },
      };
