/// <reference types="node" />
/** What is made for all files of a worker goes when it ends: by SIGTERM, of which no "exit" listener is told. */
export function atEnd(remove: () => void): void {
  process.once("exit", remove);
  process.once("SIGTERM", () => {
    remove();
    process.kill(process.pid, "SIGTERM");
  });
}
