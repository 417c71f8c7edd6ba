/* Load on an XMPP server on loopback: many clients in one thread, plain TCP or direct TLS, SASL PLAIN.
 *
 *   load MODE --port N --users N --password TEXT [--domain NAME] [--tls] [--seconds N] [--inflight N] [--rate N] [--pid N]...
 *
 *   login   every client logs in (at most 50 at a time), opens a session and becomes available
 *   idle    the same, and then stays for so many seconds
 *   chat    clients 2k and 2k+1 keep that many messages in flight to each other
 *   rate    that many messages a second altogether, sender after sender
 *
 * Accounts are load0, load1, …. CPU and memory are those of the processes given by --pid. One JSON object is printed.
 * Certificates are not checked: this is for private servers on this machine, and it connects to 127.0.0.1 only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

#define LOGINS_AT_ONCE 50
#define LOGIN_DEADLINE 120.0
#define BODY_BYTES 100
#define MAX_PIDS 16

struct buffer {
  char *data;
  size_t length, capacity;
};

struct client {
  int fd, number, step, in_flight, watches_write;
  SSL *tls;
  struct buffer in, out;
};

static struct {
  const char *mode, *password, *domain;
  int port, users, seconds, in_flight, rate, tls, pids[MAX_PIDS], pid_count;
} options = {.domain = "localhost", .password = "", .users = 100, .seconds = 5, .in_flight = 8, .rate = 1000};

static struct client *clients;
static int poller, ready, broken, started, replying;
static uint64_t sent, received, errors;
static double *latencies;
static size_t latency_count, latency_capacity = 1 << 22;
static char filler[BODY_BYTES + 1];
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void stop(const char *why) {
  fprintf(stderr, "load: %s\n", why);
  exit(2);
}

/* --- buffers --- */

static void reserve(struct buffer *b, size_t more) {
  if (b->length + more <= b->capacity) return;
  while (b->length + more > b->capacity) b->capacity = b->capacity ? b->capacity * 2 : 4096;
  if (!(b->data = realloc(b->data, b->capacity))) stop("out of memory");
}

static void consume(struct buffer *b, size_t bytes) {
  b->length -= bytes;
  memmove(b->data, b->data + bytes, b->length);
}

static char *find(const struct buffer *b, size_t from, const char *text) {
  return b->length > from ? memmem(b->data + from, b->length - from, text, strlen(text)) : NULL;
}

/* --- one connection --- */

static void watch(struct client *c, int write) {
  if (c->watches_write == write) return;
  c->watches_write = write;
  struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void fail(struct client *c, const char *why) {
  if (c->fd < 0) return;
  if (broken++ < 3) {
    int shown = c->in.length > 300 ? 300 : (int)c->in.length;
    fprintf(stderr, "load: client %d, step %d: %s: %.*s\n", c->number, c->step, why, shown, c->in.data ? c->in.data : "");
  }
  close(c->fd);
  c->fd = -1;
}

/* 1 done, 0 would block (and is watched for), -1 the connection is gone */
static int attempt(struct client *c, ssize_t result) {
#ifdef WITH_TLS
  if (c->tls) {
    if (result > 0) return 1;
    int error = SSL_get_error(c->tls, (int)result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return -1;
    watch(c, error == SSL_ERROR_WANT_WRITE);
    return 0;
  }
#else
  (void)c;
#endif
  if (result > 0) return 1;
  return result < 0 && errno == EAGAIN ? 0 : -1;
}

static ssize_t raw_write(struct client *c, const char *data, size_t length) {
#ifdef WITH_TLS
  if (c->tls) return SSL_write(c->tls, data, (int)length);
#endif
  return write(c->fd, data, length);
}

static ssize_t raw_read(struct client *c, char *data, size_t length) {
#ifdef WITH_TLS
  if (c->tls) return SSL_read(c->tls, data, (int)length);
#endif
  return read(c->fd, data, length);
}

static void flush(struct client *c) {
  while (c->fd >= 0 && c->out.length > 0) {
    ssize_t written = raw_write(c, c->out.data, c->out.length);
    int state = attempt(c, written);
    if (state < 0) return fail(c, "cannot write");
    if (state == 0) return watch(c, 1);
    consume(&c->out, written);
  }
  if (c->fd >= 0) watch(c, 0);
}

static void say(struct client *c, const char *format, ...) {
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  reserve(&c->out, length);
  memcpy(c->out.data + c->out.length, text, length);
  c->out.length += length;
}

/* --- the login, step by step: what is said, and what ends the step --- */

static void base64(char *to, const unsigned char *from, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < length; i += 3) {
    unsigned bits = from[i] << 16 | (i + 1 < length ? from[i + 1] << 8 : 0) | (i + 2 < length ? from[i + 2] : 0);
    for (int k = 0; k < 4; k++) *to++ = i + k <= length ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  *to = 0;
}

static void say_header(struct client *c) {
  say(c, "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
         "xmlns:stream='http://etherx.jabber.org/streams'>", options.domain);
}

static void say_auth(struct client *c) {
  char plain[512], encoded[1024];
  int length = snprintf(plain, sizeof plain, "%cload%d%c%s", 0, c->number, 0, options.password);
  base64(encoded, (unsigned char *)plain, length);
  say(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>", encoded);
}

static void say_bind(struct client *c) {
  say(c, "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>load</resource></bind></iq>");
}

/* The answer to the ping says that the presence before it has been handled. */
static void say_presence(struct client *c) {
  say(c, "<presence/><iq type='get' id='ping' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", options.domain);
}

static const struct {
  void (*say)(struct client *);
  const char *until, *refused;
} login_steps[] = {
    {say_header, "</stream:features>", "<stream:error"}, {say_auth, "<success", "<failure"},
    {say_header, "</stream:features>", "<stream:error"}, {say_bind, "</iq>", "type='error'"},
    {say_presence, "ping", "<stream:error"},
};
#define LOGIN_STEPS (int)(sizeof login_steps / sizeof *login_steps)

static void begin_step(struct client *c, int step) {
  c->step = step;
  c->in.length = 0;
  if (step == LOGIN_STEPS) {
    ready++;
    return;
  }
  login_steps[step].say(c);
  flush(c);
}

/* --- messages --- */

static void send_message(struct client *c) {
  say(c, "<message to='load%d@%s' type='chat' id='m%llu'><body>%.6f %s</body></message>", c->number ^ 1, options.domain,
      (unsigned long long)sent++, now(), filler);
  flush(c);
}

static void take_messages(struct client *c) {
  size_t from = 0;
  for (char *end; (end = find(&c->in, from, "</message>"));) {
    struct buffer one = {c->in.data, end - c->in.data, 0};
    char *body = find(&one, from, "<body>");
    from = end + 10 - c->in.data;
    if (!body) {
      errors++;
      continue;
    }
    received++;
    if (latency_count < latency_capacity) latencies[latency_count++] = now() - strtod(body + 6, NULL);
    if (replying) send_message(&clients[c->number ^ 1]);
  }
  consume(&c->in, from);
}

static void on_input(struct client *c) {
  if (c->step == LOGIN_STEPS) return take_messages(c);
  if (find(&c->in, 0, login_steps[c->step].refused)) return fail(c, "refused");
  if (find(&c->in, 0, login_steps[c->step].until)) begin_step(c, c->step + 1);
}

/* --- events --- */

static void connected(struct client *c) {
#ifdef WITH_TLS
  if (c->tls) {
    int state = attempt(c, SSL_connect(c->tls));
    if (state < 0) return fail(c, "TLS handshake");
    if (state == 0) return;
  }
#endif
  begin_step(c, 0);
}

static void on_event(struct client *c, uint32_t events) {
  if (c->fd < 0) return;
  if (c->step < 0) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) return fail(c, strerror(error));
    connected(c);
    return;
  }
  if (events & EPOLLOUT) flush(c);
  while (c->fd >= 0) {
    reserve(&c->in, 16384);
    ssize_t length = raw_read(c, c->in.data + c->in.length, c->in.capacity - c->in.length);
    int state = attempt(c, length);
    if (state == 0) return;
    if (state < 0) return fail(c, "the server closed the connection");
    c->in.length += length;
    on_input(c);
  }
}

static void turn(int milliseconds) {
  struct epoll_event events[256];
  int count = epoll_wait(poller, events, 256, milliseconds);
  for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
}

static void start_client(int number) {
  struct client *c = &clients[number];
  c->number = number;
  c->step = -1;
  c->watches_write = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) stop("no more sockets: raise the limit of open files");
  int yes = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) stop("cannot connect");
#ifdef WITH_TLS
  if (options.tls) {
    c->tls = SSL_new(tls_context);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_tlsext_host_name(c->tls, options.domain);
    SSL_set_connect_state(c->tls);
  }
#endif
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

/* --- the server's processes --- */

static double cpu_seconds(void) {
  double sum = 0;
  for (int i = 0; i < options.pid_count; i++) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", options.pids[i]);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) stop("a process given by --pid is gone");
    fclose(file);
    unsigned long user, system;
    char *rest = strrchr(line, ')'); /* the name may hold anything */
    if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) continue;
    sum += (double)(user + system) / sysconf(_SC_CLK_TCK);
  }
  return sum;
}

static long resident_kib(void) {
  long sum = 0;
  for (int i = 0; i < options.pid_count; i++) {
    char path[64];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", options.pids[i]);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d %ld", &pages) == 1) sum += pages * (sysconf(_SC_PAGESIZE) / 1024);
    if (file) fclose(file);
  }
  return sum;
}

/* --- modes --- */

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile(double part) {
  return latency_count ? latencies[(size_t)((latency_count - 1) * part)] * 1000 : 0;
}

/* Messages for a while: what is due is sent, what arrives is counted. */
static void exchange(double seconds, int by_rate, double *next, int *sender) {
  double end = now() + seconds;
  while (now() < end) {
    if (by_rate) {
      for (double t = now(); *next < t; *next += 1.0 / options.rate) {
        struct client *c = &clients[*sender];
        if (c->fd >= 0) send_message(c);
        *sender = (*sender + 1) % options.users;
      }
    }
    turn(by_rate ? 1 : 50);
  }
}

static void messages(void) {
  int by_rate = !strcmp(options.mode, "rate"), sender = 0;
  double next = now();
  replying = !by_rate;
  if (replying) {
    for (int i = 0; i < options.users; i++) {
      for (int k = 0; k < options.in_flight && clients[i].fd >= 0; k++) send_message(&clients[i]);
    }
  }
  exchange(1, by_rate, &next, &sender); /* warm-up */
  latency_count = 0;
  uint64_t before = received;
  double cpu = cpu_seconds(), begin = now();
  exchange(options.seconds, by_rate, &next, &sender);
  double seconds = now() - begin;
  cpu = cpu_seconds() - cpu;
  double count = received - before;
  replying = 0;
  for (double end = now() + 5; received + errors < sent && now() < end;) turn(50);
  qsort(latencies, latency_count, sizeof *latencies, ascending);
  printf("{\"broken\":%d,\"perSecond\":%.1f,\"cpuMicroseconds\":%.3f,\"cores\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"lost\":%lld}\n",
         broken, count / seconds, count ? cpu * 1e6 / count : 0, cpu / seconds, percentile(.5), percentile(.99),
         (long long)(sent - received));
}

static void read_options(int argc, char **argv) {
  static const struct option names[] = {{"port", 1, 0, 'p'},    {"users", 1, 0, 'u'},    {"password", 1, 0, 'w'},
                                        {"domain", 1, 0, 'd'},  {"tls", 0, 0, 't'},      {"seconds", 1, 0, 's'},
                                        {"inflight", 1, 0, 'i'}, {"rate", 1, 0, 'r'},    {"pid", 1, 0, 'P'},
                                        {0, 0, 0, 0}};
  for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (option) {
      case 'p': options.port = atoi(optarg); break;
      case 'u': options.users = atoi(optarg); break;
      case 'w': options.password = optarg; break;
      case 'd': options.domain = optarg; break;
      case 't': options.tls = 1; break;
      case 's': options.seconds = atoi(optarg); break;
      case 'i': options.in_flight = atoi(optarg); break;
      case 'r': options.rate = atoi(optarg); break;
      case 'P': if (options.pid_count < MAX_PIDS) options.pids[options.pid_count++] = atoi(optarg); break;
      default: stop("unknown option; the head of load.c says what there is");
    }
  if (optind >= argc) stop("no mode: login, idle, chat or rate");
  options.mode = argv[optind];
  options.users &= ~1; /* they talk in pairs */
  if (options.users <= 0 || options.port <= 0) stop("--port and --users are needed");
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (options.tls) {
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#else
    stop("built without TLS");
#endif
  }
  memset(filler, 'x', BODY_BYTES);
  clients = calloc(options.users, sizeof *clients);
  latencies = malloc(latency_capacity * sizeof *latencies);
  poller = epoll_create1(0);
  if (!clients || !latencies || poller < 0) stop("out of memory");

  long memory = resident_kib();
  double cpu = cpu_seconds(), begin = now();
  while (ready + broken < options.users && now() < begin + LOGIN_DEADLINE) {
    while (started < options.users && started - ready - broken < LOGINS_AT_ONCE) start_client(started++);
    turn(100);
  }
  double seconds = now() - begin;
  cpu = cpu_seconds() - cpu;
  if (ready < options.users) stop("not everybody could log in");

  if (!strcmp(options.mode, "login")) {
    printf("{\"broken\":%d,\"perSecond\":%.1f,\"cpuMilliseconds\":%.4f}\n", broken, ready / seconds, cpu * 1000 / ready);
  } else if (!strcmp(options.mode, "idle")) {
    for (double end = now() + options.seconds; now() < end;) turn(100);
    printf("{\"broken\":%d,\"kibPerSession\":%.2f,\"baseKib\":%ld}\n", broken, (double)(resident_kib() - memory) / ready, memory);
  } else if (!strcmp(options.mode, "chat") || !strcmp(options.mode, "rate")) {
    messages();
  } else {
    stop("unknown mode: login, idle, chat or rate");
  }
  return 0;
}
