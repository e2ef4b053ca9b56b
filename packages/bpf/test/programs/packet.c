/* Direct packet access: an Ethernet and IPv4 filter that counts by protocol. */
#include "kreplica.h"
struct { NUMBER(type, ARRAY); NUMBER(max_entries, 256); TYPE(key, u32); TYPE(value, u64); } protocols SEC(".maps");
struct ethernet { u8 destination[6], source[6]; u16 type; };
struct ipv4 { u8 version_length, service; u16 length, id, fragment; u8 ttl, protocol; u16 checksum; u32 source, destination; };

SEC("xdp") int filter(struct packet_context *context) {
  void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
  struct ethernet *link = data;
  if ((void *)(link + 1) > end) return 1;
  if (link->type != 0x0008) return 2;
  struct ipv4 *ip = (void *)(link + 1);
  if ((void *)(ip + 1) > end) return 1;
  u32 header = (ip->version_length & 15) * 4;
  if (header < sizeof *ip) return 1;
  u8 *payload = (u8 *)ip + header;
  if (payload + 4 > (u8 *)end) return 1;
  u32 key = ip->protocol;
  u64 *count = lookup(&protocols, &key);
  if (count) *count += 1;
  ip->ttl--;
  return payload[3] == 0x35 ? 1 : 2;
}
SEC("xdp") int careless(struct packet_context *context) {
  u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
  if (data + 4 > end) return 1;
  return data[4];
}
char license_text[] SEC("license") = "MIT";
