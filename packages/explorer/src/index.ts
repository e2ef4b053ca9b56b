/**
 * Where the explorer's site lies: a folder of static files, made by `scripts/site.mjs`, that needs no server of its
 * own. The packages inside run in the browser.
 */

/**
 * The folder of the built site, as the text of a URL that ends with a slash: `index.html` and all it names lie in it.
 */
export const siteFolder = (): string => new URL("../dist/site/", import.meta.url).href;

export { BEHIND_ALL, FIRST, hashOf, hashOfLesson, keyOf, MOST_NODES, type Place, placeOf } from "./hash.js";
export { packedMachine } from "./packed.js";
export type { Moment } from "./model/view.js";
