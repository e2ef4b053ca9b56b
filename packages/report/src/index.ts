/**
 * The comparison as a page one can look at: documents of the commands in, one self-contained HTML file out. Runs
 * anywhere; knows no machine and no kernel.
 */
export type * from "./document.js";
export { gainMapPage, gainMapPicture } from "./gain-map.js";
export { nearestPlace, type PlacedMark, writtenSign } from "./heat-map.js";
export { valueAt } from "./html.js";
export { reportPage } from "./page.js";
export { topologyPicture } from "./topology.js";
export { whyBars } from "./sums.js";
export { sweepPage, type SweepPicture } from "./sweep-page.js";
