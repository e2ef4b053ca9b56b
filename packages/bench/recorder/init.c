/*
 * The first process of a guest that `kreplica record` boots: loads modules, goes to the CPU that is recorded, runs a
 * command or the seven tests between markers, and switches the guest off. Called as true or false it is that program.
 *
 * /proc/cmdline: kreplica.cpu=N; kreplica.marked=1 where the command marks itself. /kreplica/command: its words, each
 * ended by a zero. /kreplica/modules: N.ko.
 *
 * Part of kreplica, MIT licence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mark.h"

enum { MOST_MODULES = 256, MOST_WORDS = 256, COMMAND_TEST = 32 };

int run_test(const char *key, int count);

/* The host reads lines that begin so. */
static void say(const char *what, int value) {
  printf("KREPLICA %s %d\n", what, value);
  fflush(stdout);
}

static void off(void) {
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}
static void fail(const char *what) {
  say(what, errno);
  off();
}

static int option(const char *line, const char *name) {
  const char *at = strstr(line, name);
  return at == NULL ? -1 : atoi(at + strlen(name));
}

/* Again and again, as long as one more goes in: what a module needs may come behind it. */
static void load_modules(void) {
  static int loaded[MOST_MODULES];
  int progress, left;
  do {
    progress = left = 0;
    for (int i = 0; i < MOST_MODULES; i++) {
      char path[64];
      snprintf(path, sizeof path, "/kreplica/modules/%d.ko", i);
      int file = loaded[i] ? -1 : open(path, O_RDONLY | O_CLOEXEC);
      if (file < 0) continue;
      loaded[i] = syscall(SYS_finit_module, file, "", 0) == 0 || errno == EEXIST;
      if (loaded[i]) progress++;
      else left++;
      close(file);
    }
  } while (left > 0 && progress > 0);
  if (left > 0) say("modules-left", left);
}

static int run(char **words) {
  pid_t child = fork();
  if (child < 0) return 127;
  if (child == 0) {
    execvp(words[0], words);
    say("no-exec", errno);
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
  const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
  const char *name = argc > 0 ? (slash ? slash + 1 : argv[0]) : "";
  if (strcmp(name, "true") == 0) return 0;
  if (strcmp(name, "false") == 0) return 1;
  if (getpid() != 1) return 2;

  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mkdir("/tmp", 01777);
  mkdir("/mnt", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
  setenv("PATH", "/bin:/usr/bin:/sbin:/usr/sbin", 1);

  static char line[4096];
  int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (file < 0 || read(file, line, sizeof line - 1) <= 0) fail("no-proc");
  close(file);
  static char command[65536];
  file = open("/kreplica/command", O_RDONLY | O_CLOEXEC);
  ssize_t bytes = file < 0 ? -1 : read(file, command, sizeof command - 1);
  if (bytes <= 0) fail("no-command");
  close(file);
  char *words[MOST_WORDS + 1] = {0};
  int count = 0;
  for (char *at = command; at < command + bytes && count < MOST_WORDS; at += strlen(at) + 1) words[count++] = at;

  load_modules();
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(option(line, "kreplica.cpu="), &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) fail("no-cpu");
  KREPLICA_LOOK();
  /* What the boot left to do for later is done meanwhile, and what runs for ever is translated. */
  usleep(500000);

  if (strcmp(words[0], "kreplica-tests") == 0) {
    for (int i = 2; i < count; i++) {
      say(words[i], 0);
      if (run_test(words[i], atoi(words[1])) != 0) fail("no-test");
    }
    say("exit", 0);
    off();
  }
  say("start", 0);
  int status;
  if (option(line, "kreplica.marked=") == 1) {
    status = run(words);
  } else {
    KREPLICA_START(COMMAND_TEST);
    status = run(words);
    KREPLICA_END(COMMAND_TEST);
  }
  say("exit", status);
  off();
}
