/** What likwid-topology prints with -c, of a machine of two sockets with one node each and memory beside. */

const rule = "-".repeat(80);
const stars = "*".repeat(80);

export const likwid = `${rule}
CPU name:	Intel(R) Xeon(R) CPU E5-2690 v3 @ 2.60GHz
CPU type:	Intel Xeon Haswell EN/EP/EX processor
CPU stepping:	2
${stars}
Hardware Thread Topology
${stars}
Sockets:		2
Cores per socket:	2
Threads per core:	2
${rule}
HWThread        Thread        Core        Die        Socket        Available
0               0             0           0          0             *
1               0             1           0          0             *
2               0             2           0          1             *
3               0             3           0          1             *
4               1             0           0          0             *
5               1             1           0          0             *
6               1             2           0          1             *
7               1             3           0          1             *
${rule}
Socket 0:		( 0 4 1 5 )
Socket 1:		( 2 6 3 7 )
${rule}
${stars}
Cache Topology
${stars}
Level:			1
Size:			32 kB
Type:			Data cache
Associativity:		8
Number of sets:		64
Cache line size:	64
Cache type:		Non Inclusive
Shared by threads:	2
Cache groups:		( 0 4 ) ( 1 5 ) ( 2 6 ) ( 3 7 )
${rule}
Level:			2
Size:			256 kB
Type:			Unified cache
Associativity:		8
Cache groups:		( 0 4 ) ( 1 5 ) ( 2 6 ) ( 3 7 )
${rule}
Level:			3
Size:			30 MB
Type:			Unified cache
Associativity:		20
Number of sets:		24576
Cache line size:	64
Cache type:		Inclusive
Shared by threads:	4
Cache groups:		( 0 4 1 5 ) ( 2 6 3 7 )
${rule}
${stars}
NUMA Topology
${stars}
NUMA domains:		3
${rule}
Domain:			0
Processors:		( 0 4 1 5 )
Distances:		10 21 30
Free memory:		30000.5 MB
Total memory:		32068.25 MB
${rule}
Domain:			1
Processors:		( 2 6 3 7 )
Distances:		21 10 40
Free memory:		30000 MB
Total memory:		32068.25 MB
${rule}
Domain:			2
Processors:		( )
Distances:		30 40 10
Free memory:		64000 MB
Total memory:		64000 MB
${rule}
`;
