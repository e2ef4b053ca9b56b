/** Begins the page: starts the worker and draws. */
import { render } from "preact";
import { App } from "./app.jsx";

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const root = document.querySelector("#page")!;
root.textContent = "";
render(<App worker={worker} />, root);
