/*
 * What QEMU's threads hand to the one that writes: events in the order in which they came, in pieces, so that a guest
 * waits neither for a record to be put together nor for a file. One hands over at a time, and one takes.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_EVENTS_H
#define KREPLICA_EVENTS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum what {
  /* An instruction begins, `value` points to it: a marker, or any where QEMU does not count. */
  EXECUTED,
  /* A block begins, `value` points to it; and one that is a REP instruction, which QEMU does not count. */
  BEGAN,
  BEGAN_REPEATING,
  /* So many iterations more of the REP instruction that is the block begun last, or none. */
  ITERATED,
  /* An access: where its page lies was said before. */
  ACCESSED,
  /* An access, and behind it an event whose value is its physical address: in memory, of a device. */
  LOCATED,
  LOCATED_DEVICE,
  /* QEMU ends. */
  ENDED,
};

struct event {
  uint64_t value;
  /* From the lowest bits on: what it is, its CPU, how many instructions of the block begun last were executed since the
   * event before, and QEMU's word of an access. One word, so that it is written as one. */
  uint64_t head;
};
/* QEMU has no block of more than 512 instructions. */
static inline uint64_t head_of(enum what what, unsigned cpu, uint64_t count, uint32_t access) {
  return (uint64_t)what | (uint64_t)cpu << 8 | count << 16 | (uint64_t)access << 32;
}
static inline enum what what_of(const struct event *e) { return (enum what)(e->head & 0xff); }
static inline unsigned cpu_in(const struct event *e) { return e->head >> 8 & 0xff; }
static inline size_t count_in(const struct event *e) { return e->head >> 16 & 0xffff; }
static inline uint32_t access_in(const struct event *e) { return (uint32_t)(e->head >> 32); }

/* 128 KiB each: few enough of them that handing over costs nothing, and all of them in a cache. */
enum { EVENTS = 8192, PIECES = 4 };
static struct piece {
  size_t count;
  struct event events[EVENTS];
} pieces[PIECES];

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  /* Pieces, from the first on. */
  uint64_t handed_over, taken;
  /* Takes a piece, in a thread of its own, or where it is handed over. @returns whether it was the last */
  bool (*writes)(const struct piece *);
  bool has_thread;
  pthread_t writer;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Where the next event goes. */
static struct event *next_event = pieces[0].events, *piece_end = pieces[0].events + EVENTS;

/* Gives away what is in the piece, and waits for room for another. */
static __attribute__((noinline)) void hand_over(void) {
  struct piece *full = &pieces[queue.handed_over % PIECES];
  full->count = (size_t)(next_event - full->events);
  if (queue.has_thread) {
    pthread_mutex_lock(&queue.lock);
    queue.handed_over++;
    pthread_cond_signal(&queue.changed);
    while (queue.handed_over - queue.taken == PIECES) pthread_cond_wait(&queue.changed, &queue.lock);
    pthread_mutex_unlock(&queue.lock);
  } else {
    queue.writes(full);
  }
  next_event = pieces[queue.handed_over % PIECES].events;
  piece_end = next_event + EVENTS;
}

/* Room for an event and the one that may belong to it. */
static inline struct event *new_events(void) {
  if (next_event + 2 > piece_end) hand_over();
  return next_event;
}

/* The thread that writes: piece by piece, until the one that is the last. */
static void *take_pieces(void *nothing) {
  for (bool last = false; !last;) {
    pthread_mutex_lock(&queue.lock);
    while (queue.handed_over == queue.taken) pthread_cond_wait(&queue.changed, &queue.lock);
    pthread_mutex_unlock(&queue.lock);
    last = queue.writes(&pieces[queue.taken % PIECES]);
    pthread_mutex_lock(&queue.lock);
    queue.taken++;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
  }
  return nothing;
}

/*
 * Begins to write. On a host of one CPU, or where no thread is to be had, where pieces are handed over: two threads would
 * only take turns. No signal is for the thread: QEMU's own wait for them.
 */
static void start_writer(bool (*writes)(const struct piece *)) {
  cpu_set_t cpus;
  sigset_t all, before;
  queue.writes = writes;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1) return;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  queue.has_thread = pthread_create(&queue.writer, NULL, take_pieces, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}
/* Hands over the piece that ends with ENDED, and waits until it is written. */
static void finish_writer(void) {
  hand_over();
  if (queue.has_thread) pthread_join(queue.writer, NULL);
}

#endif
