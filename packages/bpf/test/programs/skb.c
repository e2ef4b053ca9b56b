/* A socket filter that reads the packet by helper, as filters without direct access do. */
#include "kreplica.h"
static long (*load_bytes)(const void *skb, u32 offset, void *to, u32 bytes) = (void *)26;
SEC("socket") int protocol(struct packet_context *skb) {
  u8 version_length, protocol;
  if (load_bytes(skb, 14, &version_length, 1) || version_length >> 4 != 4) return 0;
  return load_bytes(skb, 23, &protocol, 1) ? 0 : protocol;
}
SEC("tc") int checksum(void *skb) {
  u16 words[10];
  if (load_bytes(skb, 14, words, sizeof words)) return -1;
  u32 sum = 0;
  for (int i = 0; i < 10; i++) sum += words[i];
  sum = (sum & 0xffff) + (sum >> 16);
  return (u16)~((sum & 0xffff) + (sum >> 16));
}
char license_text[] SEC("license") = "MIT";
