/** Begins the page: says how its workers are started, and draws. */
import { render } from "preact";
import { type PackedFirst, unpackFirst } from "../first.js";
import { App } from "./app.jsx";

// The page's head has begun the plain worker, before this script was there.
let begun = (globalThis as { begun?: Worker & { hears?: boolean; ended?: boolean } }).begun;

const start = (files: boolean): Worker & { hears?: boolean } => {
  const worker = files ? undefined : begun;
  if (!files) begun = undefined;
  // Of one that has ended already the next one tells why.
  if (worker && !worker.ended) return worker;
  return files ? new Worker("file-worker.js", { type: "module" }) : new Worker("worker.js");
};

async function fetchFirst(): Promise<PackedFirst> {
  const response = await fetch("first.json");
  if (!response.ok) throw new Error(`first.json, ${response.status}`);
  return (await response.json()) as PackedFirst;
}

const known = fetchFirst().then(unpackFirst);
const root = document.querySelector("#page")!;
root.textContent = "";
render(<App start={start} known={known} />, root);
