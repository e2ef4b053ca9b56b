/* Small programs that are compiled like kernel code, run natively and in the interpreter, and must leave the same memory.
 * Each takes scratch memory (zeroed, 256 KiB) and a seed. Own code; compiled with several optimisation levels by programs.test.ts. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;
typedef unsigned __int128 u128;
typedef __int128 s128;

#define SCRATCH 0x40000

static u64 state;
static u64 next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/* The compiler may turn loops into calls of these; kernels bring their own too. */
void *memcpy(void *to, const void *from, u64 bytes) {
  void *start = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return start;
}
void *memset(void *to, int value, u64 bytes) {
  void *start = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return start;
}
void *memmove(void *to, const void *from, u64 bytes) {
  u8 *t = to;
  const u8 *f = from;
  if (t <= f || t >= f + bytes) return memcpy(to, from, bytes);
  t += bytes - 1, f += bytes - 1;
  asm volatile("std; rep movsb; cld" : "+D"(t), "+S"(f), "+c"(bytes) : : "memory");
  return to;
}
int memcmp(const void *a, const void *b, u64 bytes) {
  const u8 *x = a, *y = b;
  for (; bytes; bytes--, x++, y++) if (*x != *y) return *x - *y;
  return 0;
}

/* 0: heap sort, quick sort and merge of 64-bit, 32-bit and 16-bit keys */
static void sift(s64 *a, u64 root, u64 n) {
  for (u64 child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && a[child] < a[child + 1]) child++;
    if (a[root] >= a[child]) return;
    s64 t = a[root];
    a[root] = a[child], a[child] = t;
  }
}
static void quick(int *a, s64 low, s64 high) {
  while (low < high) {
    int pivot = a[low + (high - low) / 2];
    s64 i = low, j = high;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) {
        int t = a[i];
        a[i++] = a[j], a[j--] = t;
      }
    }
    quick(a, low, j);
    low = i;
  }
}
static void sorting(u8 *m) {
  s64 *a = (s64 *)m;
  for (u64 n = 0; n < 2000; n++) a[n] = next();
  for (u64 n = 1000; n--;) sift(a, n, 2000);
  for (u64 n = 2000; n-- > 1;) {
    s64 t = a[0];
    a[0] = a[n], a[n] = t;
    sift(a, 0, n);
  }
  int *b = (int *)(m + 0x8000);
  for (u64 n = 0; n < 3000; n++) b[n] = (int)next();
  quick(b, 0, 2999);
  short *c = (short *)(m + 0x10000), *d = c + 4096;
  for (u64 n = 0; n < 4096; n++) c[n] = (short)next();
  for (u64 width = 1; width < 4096; width *= 2) {
    for (u64 at = 0; at < 4096; at += 2 * width)
      for (u64 k = at, x = at, y = at + width; k < at + 2 * width; k++)
        d[k] = x < at + width && (y >= at + 2 * width || c[x] <= c[y]) ? c[x++] : c[y++];
    short *t = c;
    c = d, d = t;
  }
}

/* 1: CRC-32 by table and by bit, Adler, FNV, a multiplicative hash */
static void checksums(u8 *m) {
  u32 *table = (u32 *)m;
  for (u32 n = 0; n < 256; n++) {
    u32 c = n;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  u8 *data = m + 0x1000;
  for (u64 n = 0; n < 20000; n++) data[n] = (u8)next();
  u32 crc = ~0u, slow = ~0u, a = 1, b = 0;
  u64 fnv = 0xcbf29ce484222325ul, mix = 0;
  for (u64 n = 0; n < 20000; n++) {
    crc = table[(crc ^ data[n]) & 255] ^ (crc >> 8);
    a = (a + data[n]) % 65521, b = (b + a) % 65521;
    fnv = (fnv ^ data[n]) * 0x100000001b3ul;
    mix = __builtin_bswap64((mix + data[n]) * 0x9e3779b97f4a7c15ul) ^ (mix << 23 | mix >> 41);
  }
  for (u64 n = 0; n < 2000; n++) {
    slow ^= data[n];
    for (int k = 0; k < 8; k++) slow = slow & 1 ? 0xedb88320u ^ (slow >> 1) : slow >> 1;
  }
  u64 *out = (u64 *)(m + 0x8000);
  out[0] = ~crc, out[1] = ~slow, out[2] = (u64)b << 16 | a, out[3] = fnv, out[4] = mix;
}

/* 2: SHA-256 */
static const u32 K[64] = {
  0x428a2f98,0x71374491,0xb5c0fbcf,0xe9b5dba5,0x3956c25b,0x59f111f1,0x923f82a4,0xab1c5ed5,0xd807aa98,0x12835b01,0x243185be,0x550c7dc3,0x72be5d74,0x80deb1fe,0x9bdc06a7,0xc19bf174,
  0xe49b69c1,0xefbe4786,0x0fc19dc6,0x240ca1cc,0x2de92c6f,0x4a7484aa,0x5cb0a9dc,0x76f988da,0x983e5152,0xa831c66d,0xb00327c8,0xbf597fc7,0xc6e00bf3,0xd5a79147,0x06ca6351,0x14292967,
  0x27b70a85,0x2e1b2138,0x4d2c6dfc,0x53380d13,0x650a7354,0x766a0abb,0x81c2c92e,0x92722c85,0xa2bfe8a1,0xa81a664b,0xc24b8b70,0xc76c51a3,0xd192e819,0xd6990624,0xf40e3585,0x106aa070,
  0x19a4c116,0x1e376c08,0x2748774c,0x34b0bcb5,0x391c0cb3,0x4ed8aa4a,0x5b9cca4f,0x682e6ff3,0x748f82ee,0x78a5636f,0x84c87814,0x8cc70208,0x90befffa,0xa4506ceb,0xbef9a3f7,0xc67178f2};
#define ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
static void sha_block(u32 *h, const u8 *p) {
  u32 w[64];
  for (int n = 0; n < 16; n++) w[n] = (u32)p[4 * n] << 24 | (u32)p[4 * n + 1] << 16 | (u32)p[4 * n + 2] << 8 | p[4 * n + 3];
  for (int n = 16; n < 64; n++)
    w[n] = w[n - 16] + w[n - 7] + (ROTR(w[n - 15], 7) ^ ROTR(w[n - 15], 18) ^ w[n - 15] >> 3) + (ROTR(w[n - 2], 17) ^ ROTR(w[n - 2], 19) ^ w[n - 2] >> 10);
  u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
  for (int n = 0; n < 64; n++) {
    u32 t = k + (ROTR(e, 6) ^ ROTR(e, 11) ^ ROTR(e, 25)) + ((e & f) ^ (~e & g)) + K[n] + w[n];
    u32 s = (ROTR(a, 2) ^ ROTR(a, 13) ^ ROTR(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    k = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = t + s;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += k;
}
static void sha256(u8 *m) {
  static const u32 start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  u32 *h = (u32 *)m;
  memcpy(h, start, 32);
  for (u64 n = 0; n < 16384; n++) m[0x1000 + n] = (u8)next();
  for (u64 n = 0; n < 16384; n += 64) sha_block(h, m + 0x1000 + n);
}

/* 3: string functions, by compiler and by string instruction */
static u64 length_by_scan(const u8 *s) {
  u64 left = ~0ul;
  asm volatile("repne scasb" : "+D"(s), "+c"(left) : "a"(0) : "memory", "cc");
  return ~left - 1;
}
static u64 equal_prefix(const void *a, const void *b, u64 n) {
  u64 left = n + 1;
  asm volatile("repe cmpsb" : "+S"(a), "+D"(b), "+c"(left) : : "memory", "cc");
  return n - left;
}
static u8 *find(u8 *hay, u64 n, const u8 *needle, u64 k) {
  for (u64 at = 0; at + k <= n; at++) if (!memcmp(hay + at, needle, k)) return hay + at;
  return 0;
}
static void strings(u8 *m) {
  u64 *out = (u64 *)(m + 0x20000);
  for (u64 n = 0; n < 0x8000; n++) m[n] = (u8)("abcd"[next() & 3]);
  for (u64 n = 0; n < 200; n++) {
    u64 at = next() & 0x3fff, bytes = next() % 700;
    m[at + bytes] = 0;
    out[4 * n] = length_by_scan(m + at);
    out[4 * n + 1] = equal_prefix(m + at, m + 0x4000 + (next() & 0xfff), bytes);
    memmove(m + at + (next() & 31), m + at + (next() & 31), bytes);
    u8 *f = find(m + 0x4000, 3000, m + at, 6);
    out[4 * n + 2] = f ? (u64)(f - m) : ~0ul;
    out[4 * n + 3] = (u64)memcmp(m + at, m + 0x4000, bytes);
    for (u8 *p = m + at; *p; p++) *p = *p >= 'a' && *p <= 'z' ? *p - 32 : *p;
    memset(m + 0x7000 + (next() & 0xff), (int)next(), next() & 0x1ff);
  }
}

/* 4: a red-black tree: inserts, lookups, removals by rebuild of paths (treap-free, parent pointers) */
struct node { struct node *parent, *left, *right; u64 key; u8 red; };
static void rotate(struct node **root, struct node *x, int left) {
  struct node *y = left ? x->right : x->left;
  struct node *inner = left ? y->left : y->right;
  if (left) x->right = inner; else x->left = inner;
  if (inner) inner->parent = x;
  y->parent = x->parent;
  if (!x->parent) *root = y;
  else if (x == x->parent->left) x->parent->left = y;
  else x->parent->right = y;
  if (left) y->left = x; else y->right = x;
  x->parent = y;
}
static void insert(struct node **root, struct node *z) {
  struct node *p = 0, **at = root;
  while (*at) p = *at, at = z->key < p->key ? &p->left : &p->right;
  *at = z, z->parent = p, z->left = z->right = 0, z->red = 1;
  while (z->parent && z->parent->red) {
    struct node *g = z->parent->parent;
    int left = z->parent == g->left;
    struct node *uncle = left ? g->right : g->left;
    if (uncle && uncle->red) {
      z->parent->red = uncle->red = 0, g->red = 1, z = g;
      continue;
    }
    if (z == (left ? z->parent->right : z->parent->left)) z = z->parent, rotate(root, z, left);
    z->parent->red = 0, g->red = 1;
    rotate(root, g, !left);
  }
  (*root)->red = 0;
}
static void tree(u8 *m) {
  struct node *pool = (struct node *)m, *root = 0;
  for (u64 n = 0; n < 3000; n++) pool[n].key = next() % 5000, insert(&root, &pool[n]);
  u64 *out = (u64 *)(m + 0x30000);
  for (u64 n = 0; n < 2000; n++) {
    u64 key = next() % 5000, depth = 0;
    struct node *x = root;
    while (x && x->key != key) x = key < x->key ? x->left : x->right, depth++;
    out[n] = depth << 1 | (x != 0);
  }
}

/* 5: bitmaps: set, find, weight, scans */
static void bitmaps(u8 *m) {
  u64 *map = (u64 *)m, *out = (u64 *)(m + 0x20000), found = 0;
  for (u64 n = 0; n < 3000; n++) {
    u64 bit = next() & 0xffff;
    if (next() & 1) asm volatile("lock btsq %1, %0" : "+m"(*map) : "r"(bit) : "memory", "cc");
    else map[bit >> 6] |= 1ul << (bit & 63);
    if (n % 3 == 0) map[next() & 1023] &= ~(1ul << (next() & 63));
  }
  for (u64 n = 0; n < 1024; n++) {
    u64 w = map[n];
    found += (u64)__builtin_popcountl(w) << 32;
    if (w) found += (u64)__builtin_ctzl(w) + 100 * (u64)__builtin_clzl(w) + (u64)__builtin_parityl(w);
    while (w) found = found * 31 + (u64)__builtin_ctzl(w), w &= w - 1;
    out[n] = found ^ (map[n] & -map[n]) ^ (u64)__builtin_clz((u32)map[n] | 1);
  }
}

/* 6: 128-bit arithmetic: Montgomery-like products, division, shifts */
static void wide(u8 *m) {
  u64 *out = (u64 *)m;
  u128 x = (u128)next() << 64 | next(), y = next();
  for (u64 n = 0; n < 1500; n++) {
    x = x * (y | 1) + ((u128)next() << 64 | next());
    u128 q = x / (y | 1), r = x % ((u128)next() << (n & 63) | 1);
    s128 s = (s128)x / (s128)(s64)(next() | 1);
    y = (u64)(x >> (n & 127)) ^ (u64)(q << (n & 31));
    out[4 * n] = (u64)q, out[4 * n + 1] = (u64)(r >> 64) ^ (u64)r;
    out[4 * n + 2] = (u64)s, out[4 * n + 3] = (u64)((x < q) + 2 * ((s128)x < s));
    s64 a = (s64)next(), b;
    out[4 * n] += (u64)__builtin_mul_overflow(a, (s64)y, &b) + (u64)b;
    out[4 * n + 1] += (u64)__builtin_add_overflow(a, (s64)y, &b) + (u64)b;
  }
}

/* 7: numbers to text and back, variable arguments, a switch with a jump table */
static u64 format(char *to, const char *how, ...) {
  char *start = to, digits[32];
  __builtin_va_list list;
  __builtin_va_start(list, how);
  for (; *how; how++) {
    if (*how != '%') { *to++ = *how; continue; }
    u64 base = 10, value;
    int width = 0, negative = 0, k = 0;
    how++;
    while (*how >= '0' && *how <= '9') width = width * 10 + (*how++ - '0');
    switch (*how) {
      case 'c': *to++ = (char)__builtin_va_arg(list, int); continue;
      case 's': for (const char *s = __builtin_va_arg(list, const char *); *s;) *to++ = *s++; continue;
      case 'd': { s64 v = __builtin_va_arg(list, s64); negative = v < 0; value = negative ? -(u64)v : (u64)v; break; }
      case 'x': base = 16; value = __builtin_va_arg(list, u64); break;
      case 'o': base = 8; value = __builtin_va_arg(list, u64); break;
      case 'b': base = 2; value = __builtin_va_arg(list, u64) & 0xffff; break;
      case 'u': value = __builtin_va_arg(list, u64); break;
      default: *to++ = *how; continue;
    }
    do digits[k++] = "0123456789abcdef"[value % base]; while (value /= base);
    if (negative) digits[k++] = '-';
    while (width-- > k) *to++ = ' ';
    while (k) *to++ = digits[--k];
  }
  __builtin_va_end(list);
  *to = 0;
  return (u64)(to - start);
}
static void text(u8 *m) {
  char *to = (char *)m;
  for (int n = 0; n < 400; n++) to += format(to, "%d:%12x|%o|%b %s%c%5u\n", (s64)next(), next(), next() >> 20, next(), n & 1 ? "odd" : "even", 'a' + n % 26, (u64)(n * n));
}

/* 8: a byte-oriented compressor and its inverse */
static u64 squeeze(const u8 *in, u64 n, u8 *out, u16 *heads) {
  u64 at = 0, o = 0;
  while (at < n) {
    u32 hash = at + 4 <= n ? (*(const u32 *)(in + at) * 2654435761u) >> 20 : 0;
    u64 from = heads[hash], k = 0;
    if (at + 4 <= n) heads[hash] = (u16)at;
    if (from < at && at - from < 0xffff) while (at + k < n && k < 255 && in[from + k] == in[at + k]) k++;
    if (k >= 4) out[o++] = 0xff, out[o++] = (u8)k, *(u16 *)(out + o) = (u16)(at - from), o += 2, at += k;
    else { if (in[at] == 0xff) out[o++] = 0xff, out[o++] = 0; else out[o++] = in[at]; at++; }
  }
  return o;
}
static void compressor(u8 *m) {
  for (u64 n = 0; n < 12000; n++) m[n] = n > 64 && (next() & 7) ? m[n - 1 - (next() & 31)] : (u8)next();
  u64 packed = squeeze(m, 12000, m + 0x4000, (u16 *)(m + 0x10000)), o = 0;
  u8 *in = m + 0x4000, *out = m + 0x20000;
  for (u64 at = 0; at < packed;) {
    if (in[at] != 0xff) { out[o++] = in[at++]; continue; }
    u64 k = in[at + 1];
    if (!k) { out[o++] = 0xff, at += 2; continue; }
    u64 back = *(u16 *)(in + at + 2);
    while (k--) out[o] = out[o - back], o++;
    at += 4;
  }
  *(u64 *)(m + 0x3fff0) = packed << 32 | (u64)memcmp(m, out, 12000) << 16 | (o == 12000);
}

/* 9: recursion and atomics: queens, Ackermann, compare-and-swap lists */
static u64 queens(u32 rows, u32 left, u32 right, u32 all) {
  u64 count = rows == all;
  for (u32 open = ~(rows | left | right) & all; open;) {
    u32 bit = open & -open;
    open ^= bit;
    count += queens(rows | bit, (left | bit) << 1, (right | bit) >> 1, all);
  }
  return count;
}
static u64 ackermann(u64 a, u64 b) { return a == 0 ? b + 1 : ackermann(a - 1, b == 0 ? 1 : ackermann(a, b - 1)); }
static void recursion(u8 *m) {
  u64 *out = (u64 *)m;
  out[0] = queens(0, 0, 0, 0x7f);
  out[1] = ackermann(2, 15);
  u64 *cell = out + 16;
  for (u64 n = 0; n < 3000; n++) {
    u64 k = next() & 63, expected = cell[k];
    __atomic_fetch_add(&cell[64 + k], next(), __ATOMIC_SEQ_CST);
    __atomic_compare_exchange_n(&cell[k], &expected, next(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    cell[128 + k] += __atomic_exchange_n((u32 *)&cell[192 + k], (u32)next(), __ATOMIC_SEQ_CST);
    __atomic_fetch_xor((u16 *)&cell[256 + k], (u16)next(), __ATOMIC_SEQ_CST);
    cell[320 + k] = __atomic_sub_fetch((u8 *)&cell[k], (u8)next(), __ATOMIC_SEQ_CST);
  }
}

static void (*const programs[])(u8 *) = {sorting, checksums, sha256, strings, tree, bitmaps, wide, text, compressor, recursion};

/* Entry: runs one program. Placed first in the image by programs.ld's order. */
__attribute__((section(".text.entry"), used)) void entry(u8 *scratch, u64 seed, u64 which) {
  state = seed * 0x9e3779b97f4a7c15ul + 1;
  programs[which](scratch);
}
