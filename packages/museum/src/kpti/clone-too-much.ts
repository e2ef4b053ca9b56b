/** pti-clone-too-much: the user half maps kernel text behind the entry text. */
import { overlay } from "@kreplica/di";
import { LARGE } from "@kreplica/hw-x86/api";
import {
  BuildContext,
  KernelBoot,
  KernelImage,
  KernelLayout,
  PageAllocator,
  ReplicaView,
  copyImageToUser,
  imageAddress,
} from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";

export const CLONE_TOO_MUCH: Bug = {
  id: "pti-clone-too-much",
  room: "KPTI and LDT",
  sentence: "user halves map more of the kernel than its entry text",
  happened:
    "Text was cloned into user halves as far as it may be global, by large entries: rounding took in what lies beside it. 4.17 found up to 2 MiB of data mapped there, and switched global text off where the layout is random on purpose; whatever user halves map can be read by Meltdown.",
  mended: "In 4.17 (April 2018) only what ends before rodata is cloned and global.",
  commits: [{ subject: "x86/pti: Reduce amount of kernel text allowed to be Global" }],
  invariant: "C6",
  kernel: { pti: true },
  path: [],
  copies: {
    without: "C6",
    with: "C6",
    words: "Worse by their number: as many copies can be read as there are holders.",
  },
  overlays: [
    overlay(KernelBoot, (boot, get) => {
      const [context, view, layout, image] = [get(BuildContext), get(ReplicaView), get(KernelLayout), get(KernelImage)];
      const allocator = get(PageAllocator);
      boot.during("pti-finalize", () => {
        const start = imageAddress(layout, image.startRodata) & ~(LARGE - 1n);
        for (const { root } of view.roots)
          copyImageToUser(context, root, root + 1, { start, end: start + LARGE }, () =>
            allocator.allocate(view.master, 0, { purpose: "page-table", zero: true }),
          );
        return "2 MiB too much in user halves";
      });
      return boot;
    }),
  ],
};
