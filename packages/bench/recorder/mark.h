/*
 * Markers of a recording, for a program that says itself what of it is recorded: `kreplica record --marked`.
 *
 * They are no-ops: the program runs alike without a recorder. TEST is a constant, 11 to 255; 1 to 10 are kreplica's own.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_MARK_H
#define KREPLICA_MARK_H

#define KREPLICA_MARK(test, phase) \
  __asm__ volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" : : "i"(0x5eed0000 | (test) << 8 | (phase)) : "memory")
#define KREPLICA_START(test) KREPLICA_MARK(test, 1)
/* To be passed some time before a start marker: from here on the guest is as slow as it will be when it is recorded. */
#define KREPLICA_LOOK() KREPLICA_MARK(0, 3)
#define KREPLICA_END(test) KREPLICA_MARK(test, 2)

#endif
