/** What the site's build keeps of the first kernel, see {@link ../first.ts}: run by `scripts/site.mjs`. */
import type { First } from "../first.js";
import { catalogue } from "./catalogue.js";
import { BOOTED, Session } from "./session.js";
import { FIRST_STORY } from "./setup.js";

export { packFirst } from "../first.js";

export function first(): First {
  const session = new Session(FIRST_STORY);
  const views = Array.from({ length: BOOTED + 1 }, (_, step) => session.look({ step, store: 0 }));
  return { catalogue: catalogue(), steps: session.steps, views };
}
