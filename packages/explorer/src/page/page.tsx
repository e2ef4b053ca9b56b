/** Begins the page: says how its workers are started, and draws. */
import { render } from "preact";
import { App } from "./app.jsx";

const start = (files: boolean): Worker =>
  new Worker(new URL(files ? "file-worker.js" : "worker.js", import.meta.url), { type: "module" });
const root = document.querySelector("#page")!;
root.textContent = "";
render(<App start={start} />, root);
