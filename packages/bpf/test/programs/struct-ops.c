/* A structure of function pointers that programs fill. */
#include "kreplica.h"
struct congestion_ops { int (*start)(u64 *); u32 flags; int (*acked)(u64 *); char name[16]; };
SEC("struct_ops/start") int start(u64 *context) { return context[0] + 1; }
SEC("struct_ops/acked") int acked(u64 *context) { return context[0] * 2; }
SEC(".struct_ops") struct congestion_ops steady = { .start = start, .flags = 5, .acked = acked, .name = "steady" };
char license_text[] SEC("license") = "MIT";
