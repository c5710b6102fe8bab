/* SPDX-License-Identifier: Apache-2.0 */
/**
 * embed-event-loop.c - a recording gateway that a program's own event loop drives, beside what else is in that loop: a
 * timer that tells how many sessions are open, and the signals that end the program.
 *
 *   embed-event-loop UPSTREAM DIR
 *
 * Listens on a free port of 127.0.0.1, prints its address on standard output, and then twice a second a line "N open".
 * Sessions are forwarded to UPSTREAM on the only thread that the program knows of, inside gg_gateway_poll, and recorded
 * into DIR. SIGINT and SIGTERM let open sessions end; the second one closes them.
 *
 * Build it with `cc embed-event-loop.c $(pkg-config --cflags --libs gogetway)`.
 */
#include <gogetway/gogetway.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS_MAX = 8 };

/* What the loop waits for. */
struct loop {
  struct gg_gateway *gateway;
  int set;
  int timer;
  int signals;
};

static void on_line(void *context, const char *line, size_t length)
{
  (void)context;
  fprintf(stderr, "%.*s\n", (int)length, line);
}

static bool count(void *context, const struct gg_session_info *session)
{
  (void)session;
  ++*(unsigned *)context;
  return true;
}

static void on_timer(struct loop *loop)
{
  uint64_t times;
  unsigned open = 0;
  if (read(loop->timer, &times, sizeof times) != (ssize_t)sizeof times)
    return;
  gg_gateway_sessions(loop->gateway, count, &open);
  printf("%u open\n", open);
  fflush(stdout);
}

static void on_signal(struct loop *loop)
{
  struct signalfd_siginfo info;
  if (read(loop->signals, &info, sizeof info) == (ssize_t)sizeof info)
    gg_gateway_signal(loop->gateway, (int)info.ssi_signo); /* carried out by the next poll, which is due at once */
}

/* Level-triggered: what one call leaves over is there in the next round. */
static int watch(struct loop *loop, int fd)
{
  struct epoll_event event;
  event.events = EPOLLIN;
  event.data.fd = fd;
  return fd < 0 ? -1 : epoll_ctl(loop->set, EPOLL_CTL_ADD, fd, &event);
}

static int loop_init(struct loop *loop, struct gg_gateway *gateway)
{
  const struct itimerspec twice_a_second = {{0, 500000000}, {0, 500000000}};
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  sigprocmask(SIG_BLOCK, &ending, NULL);
  loop->gateway = gateway;
  loop->set = epoll_create1(EPOLL_CLOEXEC);
  loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  loop->signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
  if (watch(loop, gg_gateway_fd(gateway)) || watch(loop, loop->timer) || watch(loop, loop->signals))
    return -1;
  return timerfd_settime(loop->timer, 0, &twice_a_second, NULL);
}

/* Until the gateway has ended: 0, or its error. */
static int loop_run(struct loop *loop, struct gg_failure *failure)
{
  struct epoll_event events[EVENTS_MAX];
  int result = GG_GATEWAY_GOES_ON;
  while (result == GG_GATEWAY_GOES_ON) {
    int ready = epoll_wait(loop->set, events, EVENTS_MAX, -1);
    for (int i = 0; i < ready && result == GG_GATEWAY_GOES_ON; i++) {
      if (events[i].data.fd == loop->timer)
        on_timer(loop);
      else if (events[i].data.fd == loop->signals)
        on_signal(loop);
      else
        result = gg_gateway_poll(loop->gateway, 0, failure);
    }
  }
  return result;
}

static void loop_fini(struct loop *loop)
{
  close(loop->signals);
  close(loop->timer);
  close(loop->set);
}

static int run(struct gg_gateway *gateway, struct gg_failure *failure)
{
  struct loop loop;
  char address[256];
  int error = gg_gateway_start(gateway, failure);
  if (error)
    return error;
  if (loop_init(&loop, gateway) != 0)
    return gg_fail(failure, GG_ERR_IO, "cannot make an event loop");
  gg_gateway_listener(gateway, 0, address, sizeof address);
  printf("%s\n", address);
  fflush(stdout);
  error = loop_run(&loop, failure);
  loop_fini(&loop);
  return error;
}

int main(int argc, char **argv)
{
  if (argc != 3) {
    fprintf(stderr, "usage: embed-event-loop UPSTREAM DIR\n");
    return 2;
  }
  const char *arguments[] = {"--listen", "127.0.0.1:0", "--upstream", argv[1], "--dir", argv[2]};
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_gateway *gateway = NULL;

  signal(SIGPIPE, SIG_IGN);
  options.arguments = arguments;
  options.argument_count = sizeof arguments / sizeof arguments[0];
  options.on_config_error = on_line;
  options.log = on_line;
  options.polled = true;
  int error = gg_gateway_create(&gateway, &options, &failure);
  if (!error)
    error = run(gateway, &failure);
  gg_gateway_destroy(gateway);
  if (error)
    fprintf(stderr, "embed-event-loop: %s\n", failure.message);
  return error ? 1 : 0;
}
