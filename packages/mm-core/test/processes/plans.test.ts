/** Which holders have a PGD for a space, and when; and an access that no handling of faults makes possible. */
import { assemble } from "@kreplica/di";
import { hwX86 } from "@kreplica/hw-x86";
import { Machine } from "@kreplica/hw-x86/api";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { expect, test } from "vitest";
import { EAGER_PGDS, HOME_PGDS, InvariantError, LAZY_PGDS } from "../../src/api.js";
import { testKernel } from "../../src/testing.js";

test("a plan has a name, says who gets a PGD at once, and whether others do later", () => {
  const said = [EAGER_PGDS, LAZY_PGDS, HOME_PGDS].map(({ name, initial, growing }) => [
    name,
    initial([0, 1, 3], 1),
    growing,
  ]);
  expect(said).toEqual([
    ["eager", [0, 1, 3], false],
    ["lazy", [1], true],
    ["home", [1], false],
  ]);
});

test("an access that faults again whatever is done about it is a defect, and says so after eight rounds", () => {
  const machine = assemble([hwX86(tinyMachine({ nodes: 2, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
  const { boot, processes } = testKernel({ machine });
  boot.run();
  const process = processes.spawn(0)!;
  processes.run(process, 0);
  const start = 0x4000_0000n;
  processes.mmap(process, { start, pages: 1 }, {}, 0);
  expect(processes.access(0, start, "write", 1)).toBe("ok");
  const { taken } = processes.faults;
  const core = machine.cpu(0);
  core.load = () => 5;
  const access = (): unknown => processes.access(0, start + 8n, "read");
  expect(access).toThrow(InvariantError);
  expect(access).toThrow("an access to 0x40000008 never ends");
  expect([processes.faults.taken - taken, processes.faults.spurious]).toEqual([16, 16]);
});
