/// <reference types="node" />
/** One sound text for each reader of accounts. */

import { genoa, haswell, sapphireRapids, withTwoCpus } from "./cpuid-samples.js";
import { likwid } from "./likwid-samples.js";

/** By the tool's name. */
export const samples: Readonly<Record<string, string>> = {
  lscpu: `Architecture:            x86_64
Address sizes:         46 bits physical, 48 bits virtual
On-line CPU(s) list:   0-7
Vendor ID:               GenuineIntel
Model name:            Intel(R) Xeon(R) CPU @ 2.60GHz
CPU family:          6
Model:               63
Thread(s) per core:  2
Core(s) per socket:  2
Socket(s):           2
L1d cache:               128 KiB (4 instances)
L2 cache:                1 MiB (4 instances)
L3 cache:                60 MiB (2 instances)
NUMA node0 CPU(s):       0,1,4,5
NUMA node1 CPU(s):       2,3,6,7
`,
  numactl: `available: 2 nodes (0-1)
node 0 cpus: 0 1
node 0 size: 4096 MB
node 1 cpus: 2 3
node 1 size: 4096 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
`,
  lstopo: `<topology version="2.0">
<object type="Machine" cpuset="0x0000000f">
<info name="CPUVendor" value="GenuineIntel"/>
<object type="Package" cpuset="0x0000000f">
<object type="NUMANode" os_index="0" cpuset="0x00000003" local_memory="4294967296"/>
<object type="NUMANode" os_index="1" cpuset="0x0000000c" local_memory="4294967296"/>
<object type="L3Cache" cpuset="0x0000000f" cache_size="16777216" depth="3" cache_associativity="16" cache_type="0">
<object type="Core" cpuset="0x00000003"><object type="PU" os_index="0"/><object type="PU" os_index="1"/></object>
<object type="Core" cpuset="0x0000000c"><object type="PU" os_index="2"/><object type="PU" os_index="3"/></object>
</object></object></object>
<distances2 type="NUMANode" nbobjs="2" name="NUMALatency"><indexes length="4">0 1 </indexes><u64values length="12">10 21 21 10 </u64values></distances2>
</topology>
`,
  cpuid: withTwoCpus,
  "cpuid of AMD": genoa,
  InstLatx64: haswell,
  "leaf 18h": sapphireRapids,
  likwid,
  mlc: `Intel(R) Memory Latency Checker - v3.11
Measuring idle latencies for random access (in ns)...
                Numa node
Numa node            0       1
       0          69.6   141.4
       1         139.4    70.7
Measuring cache-to-cache transfer latency (in ns)...
Local Socket L2->L2 HIT  latency  42.1
`,
};
