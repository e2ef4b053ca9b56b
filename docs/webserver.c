/*
 * A small web server's work: so many rounds of a pipe, a fork and an exec of /bin/true, then so many requests over a
 * Unix socket, each on a connection of its own, answered by a server process.
 *
 *   gcc -O2 -static webserver.c -o webserver && ./webserver 100
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char request[] = "GET /index.html HTTP/1.0\r\nHost: localhost\r\n\r\n";
static const char reply[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";
static struct sockaddr_un place = { .sun_family = AF_UNIX, .sun_path = "web.socket" };

/* One child that says a byte through a pipe and becomes /bin/true. */
static int spawn(void) {
  int ends[2], status;
  char byte;
  if (pipe(ends) != 0) return 1;
  pid_t child = fork();
  if (child == 0) {
    if (write(ends[1], "x", 1) != 1) _exit(2);
    execl("/bin/true", "true", (char *)0);
    _exit(3);
  }
  int failed = child < 0 || read(ends[0], &byte, 1) != 1 || waitpid(child, &status, 0) != child || status != 0;
  close(ends[0]);
  close(ends[1]);
  return failed;
}

/* Reads up to the empty line that ends a head, or to the end. */
static long receive(int connection, char *into, long room) {
  long length = 0;
  while (length < room - 1) {
    long got = read(connection, into + length, room - 1 - length);
    if (got <= 0) break;
    length += got;
    into[length] = 0;
    if (strstr(into, "\r\n\r\n")) break;
  }
  return length;
}

/* Answers so many requests. */
static int serve(int listener, int requests) {
  char text[512];
  for (; requests > 0; requests--) {
    int connection = accept(listener, 0, 0);
    if (connection < 0) return 1;
    if (receive(connection, text, sizeof text) <= 0 || strncmp(text, "GET ", 4) != 0) return 2;
    if (write(connection, reply, sizeof reply - 1) != sizeof reply - 1) return 3;
    close(connection);
  }
  return 0;
}

/* One request on a connection of its own. */
static int ask(void) {
  char text[512];
  int connection = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connection < 0 || connect(connection, (struct sockaddr *)&place, sizeof place) != 0) return 1;
  if (write(connection, request, sizeof request - 1) != sizeof request - 1) return 2;
  if (receive(connection, text, sizeof text) <= 0 || !strstr(text, "200 OK")) return 3;
  close(connection);
  return 0;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 100, status;
  for (int i = 0; i < rounds; i++)
    if (spawn()) return 1;
  unlink(place.sun_path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&place, sizeof place) != 0 || listen(listener, 8) != 0) return 2;
  pid_t server = fork();
  if (server == 0) _exit(serve(listener, rounds));
  close(listener);
  for (int i = 0; i < rounds; i++)
    if (server < 0 || ask()) return 3;
  if (waitpid(server, &status, 0) != server || status != 0) return 4;
  printf("%d children, %d requests\n", rounds, rounds);
  return 0;
}
