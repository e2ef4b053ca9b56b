/*
 * What limit.c takes of its host, for WebAssembly: no library, vectors of 128 bits in the place of SSE2. Limit.ts
 * compiles it with clang and calls `setup`, `go` and `counted`.
 */
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#define __SSE2__
typedef v128_t __m128i;
#define _mm_set1_epi32(value) wasm_i32x4_splat(value)
#define _mm_set1_epi16(value) wasm_i16x8_splat(value)
#define _mm_loadu_si128(at) wasm_v128_load(at)
#define _mm_cmpeq_epi32(a, b) wasm_i32x4_eq(a, b)
#define _mm_cmpeq_epi16(a, b) wasm_i16x8_eq(a, b)
#define _mm_and_si128(a, b) wasm_v128_and(a, b)
#define _mm_castsi128_ps(a) (a)
#define _mm_movemask_ps(a) ((int)wasm_i32x4_bitmask(a))
#define _mm_packs_epi16(a, b) wasm_i8x16_narrow_i16x8(a, b)
#define _mm_movemask_epi8(a) ((int)wasm_i8x16_bitmask(a))

#define memset __builtin_memset
#define memmove __builtin_memmove

/* What `beyond` says is lost: the program ends where it is. */
#define stderr 0
#define fprintf(...) 0
#define exit(status) __builtin_trap()

extern unsigned char __heap_base;
static unsigned char *end_of_heap = &__heap_base;

/* Nothing is ever given back; the memory is as large as it will be, and zero. */
static void *malloc(size_t bytes) {
  end_of_heap = (unsigned char *)(((size_t)end_of_heap + 63) & ~(size_t)63);
  void *at = end_of_heap;
  end_of_heap += bytes;
  return at;
}
static void *calloc(size_t count, size_t bytes) { return malloc(count * bytes); }
