/*
 * gatehouse-extauth relay: stands in an XMPP server's pool in place of the whole program, and hands each request to the one
 * daemon behind a UNIX socket. Small, because servers start one per core and virtual host.
 *
 *   gatehouse-extauth relay SOCKET [--failure-reply deny|error-frame] [--deadline MILLISECONDS]
 *
 * Frames are a length (16 bits, big-endian) and that many bytes, on standard input as on the socket. The daemon answers
 * 00 02 and 00 01 (yes), 00 00 (no) or 00 02 (could not find out). A daemon that is down, hangs or goes away is a failure,
 * never a "no" of its own making, and never the end of the relay: servers give up programs that end too often.
 *
 * Ends with 0 at the end of input, 1 when nobody reads the answers or the input ends inside a frame.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { IN = 0, OUT = 1, MAX_FRAME = 2 + 65535 };
enum { NO = 0, YES = 1, FAILURE = 2 };

static struct sockaddr_un address;
static int failure_reply = NO;
/* a gatehouse server waits for 8 seconds, older ejabberds for 10 */
static long deadline_ms = 7500;
static int daemon_fd = -1;
/* what has been read from standard input and not been dealt with: the frame under way and whatever follows it */
static unsigned char input[MAX_FRAME];
static size_t filled;
static int at_end;

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

static void drop(void) {
  if (daemon_fd >= 0) close(daemon_fd);
  daemon_fd = -1;
}

/* A daemon that was started anew has left a connection that is good for nothing, and a change can be tried only once. */
static int is_alive(void) {
  unsigned char byte;
  ssize_t n = recv(daemon_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static int reach(void) {
  if (daemon_fd >= 0 && !is_alive()) drop();
  if (daemon_fd >= 0) return 1;
  daemon_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (daemon_fd < 0) return 0;
  if (connect(daemon_fd, (struct sockaddr *)&address, sizeof address) == 0) return 1;
  drop();
  return 0;
}

/* Reads what is there. Sets at_end when the server has closed its side. */
static void fill(void) {
  ssize_t n = read(IN, input + filled, sizeof input - filled);
  if (n > 0) filled += (size_t)n;
  else if (n == 0 || (errno != EINTR && errno != EAGAIN)) at_end = 1;
}

static size_t frame_size(void) { return filled < 2 ? 0 : 2 + ((size_t)input[0] << 8 | input[1]); }

/* Only these may be asked twice: what changes something may have been carried out before the daemon went away. */
static int is_question(void) {
  return (filled > 7 && memcmp(input + 2, "auth:", 5) == 0) || (filled > 9 && memcmp(input + 2, "isuser:", 7) == 0);
}

/*
 * Waits until the daemon's socket is ready for that, or the deadline. Meanwhile the server may close: then a change is not
 * waited for any more, and the daemon, which sees us leave, does not make it for a caller who is gone.
 */
static int wait_for(short events, long until) {
  for (;;) {
    long left = until - now();
    if (left <= 0) return 0;
    struct pollfd fds[2] = {{daemon_fd, events, 0}, {at_end || filled == sizeof input ? -1 : IN, POLLIN, 0}};
    int n = poll(fds, 2, (int)left);
    if (n < 0 && errno != EINTR) return 0;
    if (n <= 0) continue;
    if (fds[1].revents) {
      fill();
      if (at_end && !is_question()) return 0;
    }
    if (fds[0].revents) return 1;
  }
}

/* Asks the daemon once: YES, NO, FAILURE; or -1 when the connection was of no use and another may be. */
static int ask(size_t size, long until) {
  for (size_t sent = 0; sent < size;) {
    ssize_t n = send(daemon_fd, input + sent, size - sent, MSG_NOSIGNAL);
    if (n > 0) sent += (size_t)n;
    else if (n < 0 && errno == EAGAIN) {
      if (!wait_for(POLLOUT, until)) return drop(), FAILURE;
    } else if (errno != EINTR) return drop(), -1;
  }
  unsigned char answer[4];
  for (size_t got = 0; got < sizeof answer;) {
    /* an answer that comes too late must not become the next request's: the connection is given up */
    if (!wait_for(POLLIN, until)) return drop(), FAILURE;
    ssize_t n = recv(daemon_fd, answer + got, sizeof answer - got, 0);
    if (n > 0) got += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) return drop(), got == 0 ? -1 : FAILURE;
  }
  if (answer[0] || answer[1] != 2 || answer[2] || answer[3] > FAILURE) return drop(), FAILURE;
  return answer[3];
}

/* A daemon that is being started anew is waited for, as long as the server waits. */
static int decide(size_t size) {
  long until = now() + deadline_ms;
  int may_repeat = is_question();
  for (;;) {
    int connected = reach();
    int result = connected ? ask(size, until) : -1;
    if (result >= 0) return result;
    if (connected && !may_repeat) return FAILURE;
    long pause = now() + 100;
    while (now() < pause) {
      if ((at_end && !may_repeat) || now() >= until) return FAILURE;
      struct pollfd in = {at_end || filled == sizeof input ? -1 : IN, POLLIN, 0};
      if (poll(&in, 1, 20) > 0) fill();
    }
  }
}

static int reply(int result) {
  unsigned char bytes[4] = {0, 2, 0, (unsigned char)(result == FAILURE ? failure_reply : result)};
  for (size_t sent = 0; sent < sizeof bytes;) {
    ssize_t n = write(OUT, bytes + sent, sizeof bytes - sent);
    if (n > 0) sent += (size_t)n;
    else if (errno == EAGAIN) {
      struct pollfd out = {OUT, POLLOUT, 0};
      poll(&out, 1, -1);
    } else if (errno != EINTR) return 0;
  }
  return 1;
}

/* A server starts what ends again at once, and gives it up for good after a few times: be slow to end. */
static void usage(const char *what) {
  fprintf(stderr, "gatehouse-extauth relay: %s\nusage: gatehouse-extauth relay SOCKET [--failure-reply deny|error-frame] [--deadline MILLISECONDS]\n", what);
  if (!isatty(IN)) sleep(5);
  exit(2);
}

int main(int argc, char **argv) {
  const char *path = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--failure-reply") == 0 && i + 1 < argc) {
      i++;
      if (strcmp(argv[i], "deny") && strcmp(argv[i], "error-frame")) usage("--failure-reply is deny or error-frame");
      failure_reply = strcmp(argv[i], "error-frame") == 0 ? FAILURE : NO;
    } else if (strcmp(argv[i], "--deadline") == 0 && i + 1 < argc) {
      char *end;
      deadline_ms = strtol(argv[++i], &end, 10);
      if (*end || deadline_ms < 1 || deadline_ms > 3600000) usage("--deadline is a number of milliseconds");
    } else if (argv[i][0] == '-' || path) usage("what is that option?");
    else path = argv[i];
  }
  if (!path) usage("which socket?");
  if (strlen(path) >= sizeof address.sun_path) usage("the path of the socket is too long");
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  signal(SIGPIPE, SIG_IGN);

  for (;;) {
    while (!at_end && (filled < 2 || filled < frame_size())) fill();
    if (filled < 2 || filled < frame_size()) break;
    size_t size = frame_size();
    int result = decide(size);
    if (!reply(result)) return 1;
    memmove(input, input + size, filled - size);
    filled -= size;
  }
  if (filled > 0) {
    fprintf(stderr, "gatehouse-extauth relay: the input ended inside a request\n");
    return 1;
  }
  return 0;
}
