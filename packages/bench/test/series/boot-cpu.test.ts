/**
 * D1 as a port of the series to 6.1 showed it: the boot hangs when the boot CPU lies on a node other than logical 0,
 * wherever the image is. Source: the port run under QEMU; init_mm.pgd_numa is a union with init_mm.pgd, so that before
 * there are clones node 0's entry alone is set.
 */
import { withDefect } from "@kreplica/check";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { tiny2Node } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { InvariantError } from "@kreplica/mm-core";
import { defectOf } from "@kreplica/series-as-posted";
import { boot, prepare } from "../../src/boot.js";

const posted = { spec: tiny2Node, policy: "rfc-v1" } as const;

describe("image on node 1", () => {
  test("the boot CPU on node 0 boots, and is what is chosen", () => {
    const kernel = boot({ ...posted, masterNode: 1 });
    expect([kernel.view.master, kernel.options.bootCpu, kernel.machine.nodeOfCpu(kernel.options.bootCpu)]).toEqual([
      1, 0, 0,
    ]);
    expect(kernel.view.holders).toEqual([0, 1]);
    expect(boot({ ...posted, masterNode: 1, bootCpu: 1 }).boot.reached).toBe("running");
  });

  test("the boot CPU on node 1, the image's own, hangs", () => {
    expect(() => prepare({ ...posted, masterNode: 1, bootCpu: 2 })).toThrow(
      /--boot-cpu: CPU 2 lies on node 1, and the series as posted hangs in trap_init .* logical node 0.*Choose CPU 0, or another policy/,
    );
    expect(boot({ spec: tiny2Node, policy: "per-node", masterNode: 1, bootCpu: 2 }).options.bootCpu).toBe(2);
  });
});

test("a machine whose node 0 has no CPU cannot boot it; one whose node 0 has no memory can", () => {
  const all = smallMachine(2);
  const image = smallImage("patch-06");
  const away = { ...all, cpus: all.cpus.filter((cpu) => cpu.node === 1) };
  expect(() => prepare({ spec: away, policy: "rfc-v1", image })).toThrow(
    /--policy: the series as posted comes up only on a CPU of logical node 0 \(D1\), and this machine has none.*Choose another policy/,
  );
  const memoryless = { ...all, nodes: all.nodes.map((node) => (node.id === 0 ? { ...node, memoryBytes: 0 } : node)) };
  const kernel = boot({ spec: memoryless, policy: "rfc-v1", image });
  expect([kernel.options.bootCpu, kernel.view.master]).toEqual([0, 1]);
});

test("without the refusal the step that loads CR3 is where it ends, and only there", () => {
  for (const bootCpu of [0, 2])
    for (const masterNode of [0, 1]) {
      const boots = (): unknown =>
        boot(
          withDefect(
            { spec: smallMachine(2), policy: "per-node", image: smallImage("patch-06"), masterNode, bootCpu },
            defectOf("D1")!,
          ),
        ).boot.reached;
      if (bootCpu === 0) expect(boots()).toBe("running");
      else expect(boots).toThrow(InvariantError);
    }
});
