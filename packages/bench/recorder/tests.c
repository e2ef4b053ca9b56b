/*
 * The seven tests of the cover letter, each three times before it is recorded and once between its markers.
 *
 * Source of what each does: PATCH RFC 00/12, x86 NUMA-aware kernel replication.
 *
 * Part of kreplica, MIT licence.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mark.h"

enum { WARM = 3, PAGE = 4096, MOST_CHILDREN = 1024 };

static volatile sig_atomic_t *handled;
/* The one that gets the signal ends by it, and its memory is taken down before another process runs. */
static void handler(int signal) {
  (void)signal;
  *handled = 1;
  _exit(0);
}

/* Children stay until the window is over, so that each has frames of its own. */
static pid_t children[MOST_CHILDREN];
static int forked;
static int fork_once(void) {
  pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  if (child > 0 && forked < MOST_CHILDREN) children[forked++] = child;
  return child < 0;
}
static void reap(void) {
  for (; forked > 0; forked--) {
    kill(children[forked - 1], SIGKILL);
    waitpid(children[forked - 1], NULL, 0);
  }
}
static int fork_and_reap(void) {
  int failed = fork_once();
  reap();
  return failed;
}
static int map_once(int flags) {
  void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return at == MAP_FAILED || munmap(at, PAGE) != 0;
}
static int open_once(void) {
  int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return file < 0 || close(file) != 0;
}

/* A child that waits for the signal, in a page that both see. @returns its process, -1 for none */
static pid_t waiting_child(void) {
  if (handled == NULL) handled = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (handled == MAP_FAILED) return -1;
  int ready[2];
  if (pipe(ready) != 0) return -1;
  pid_t child = fork();
  if (child == 0) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigaction(SIGUSR1, &action, NULL);
    if (write(ready[1], "", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer;
  if (child > 0 && read(ready[0], &answer, 1) != 1) child = -1;
  close(ready[0]);
  close(ready[1]);
  return child;
}
static int kill_once(pid_t child) {
  *handled = 0;
  if (child < 0 || kill(child, SIGUSR1) != 0) return 1;
  while (!*handled) sched_yield();
  return 0;
}
static int kill_and_reap(void) {
  pid_t child = waiting_child();
  int failed = kill_once(child);
  return failed || waitpid(child, NULL, 0) != child;
}

/* A macro: a marker's number is a constant. */
#define RECORDED(test, times, warming, once)                             \
  do {                                                                  \
    for (int warm = 0; warm < WARM && !failed; warm++) failed = warming; \
    KREPLICA_START(test);                                               \
    for (int i = 0; i < (times) && !failed; i++) failed = once;         \
    KREPLICA_END(test);                                                 \
  } while (0)

/* @param count iterations of the tests that are loops @returns not 0 when a call failed, or there is no such test */
int run_test(const char *key, int count) {
  int failed = 0;
  if (strcmp(key, "fork1") == 0) {
    RECORDED(1, 1, fork_and_reap(), fork_once());
    reap();
  } else if (strcmp(key, "forkN") == 0) {
    RECORDED(2, count, fork_and_reap(), fork_once());
    reap();
  } else if (strcmp(key, "mmap") == 0) {
    RECORDED(3, count, map_once(0), map_once(0));
  } else if (strcmp(key, "mlock") == 0) {
    RECORDED(4, count, map_once(MAP_LOCKED), map_once(MAP_LOCKED));
  } else if (strcmp(key, "open") == 0) {
    RECORDED(5, count, open_once(), open_once());
  } else if (strcmp(key, "mount") == 0) {
    for (int warm = 0; warm < WARM && !failed; warm++)
      failed = mount("proc", "/mnt", "proc", 0, NULL) != 0 || umount("/mnt") != 0;
    KREPLICA_START(6);
    if (!failed) failed = mount("proc", "/mnt", "proc", 0, NULL) != 0;
    KREPLICA_END(6);
    umount("/mnt");
  } else if (strcmp(key, "kill") == 0) {
    pid_t child = -1;
    RECORDED(7, 1, kill_and_reap() || (warm + 1 == WARM && (child = waiting_child()) < 0), kill_once(child));
    if (child > 0) waitpid(child, NULL, 0);
  } else {
    return 1;
  }
  return failed;
}
