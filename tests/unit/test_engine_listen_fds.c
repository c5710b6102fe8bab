/* SPDX-License-Identifier: Apache-2.0 */
/* Each test runs in a child, because the descriptors of the protocol are 3, 4, ... */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/listen_fds.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A free port, which the children's configuration is made for. */
static uint16_t port;

static int listening(uint16_t at, bool listens)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(at)};
  socklen_t length = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || (listens && listen(fd, 8) != 0))
    return -1;
  getsockname(fd, (struct sockaddr *)&address, &length);
  port = ntohs(address.sin_port);
  return fd;
}

/* What the child finds: sockets from descriptor 3 on, and the variables. */
static void prepare(size_t count, const char *names, bool listens)
{
  char text[32];
  int fds[8];
  for (size_t i = 0; i < count; i++) {
    int fd = listening(0, listens);
    fds[i] = fcntl(fd, F_DUPFD, 100);
    close(fd);
  }
  for (size_t i = 0; i < count; i++)
    dup2(fds[i], GG_LISTEN_FDS_FIRST + (int)i);
  snprintf(text, sizeof text, "%ld", (long)getpid());
  setenv("LISTEN_PID", text, 1);
  snprintf(text, sizeof text, "%zu", count);
  setenv("LISTEN_FDS", text, 1);
  if (names)
    setenv("LISTEN_FDNAMES", names, 1);
}

/* Runs it in a child; what it returns is what is wrong. */
static void in_child(const char *(*body)(void))
{
  int ends[2], status;
  char wrong[512] = "";
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 200);
    const char *said = body();
    ssize_t written = said ? write(200, said, strlen(said)) : 0;
    _exit(written < 0);
  }
  close(ends[1]);
  assert_true(read(ends[0], wrong, sizeof wrong - 1) >= 0);
  close(ends[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_string_equal(wrong, "");
  assert_int_equal(status, 0);
}

#define WANT(what)                                                                                                     \
  do {                                                                                                                 \
    if (!(what))                                                                                                       \
      return "not so: " #what;                                                                                         \
  } while (0)

static struct gg_listen_fds fds;
static struct gg_failure failure;

static struct gg_configured *configured_for(const char *first, const char *second)
{
  const char *words[] = {"--listen", first,  "--upstream", "none", "--name", "web",
                         "--listen", second, "--upstream", "none", "--name", "ssh"};
  static struct gg_config_errors errors;
  struct gg_arguments arguments = {0};
  struct gg_configured *configured = NULL;
  struct gg_resolver *resolver = NULL;
  if (gg__arguments_copy(&arguments, words, 12) != 0 || gg_resolver_create(&resolver, 0, NULL) != 0 ||
      gg__configured_load(&configured, &arguments, 0, &errors, &failure) != 0 ||
      gg__configured_fill(configured, resolver, &failure) != 0)
    return NULL;
  return configured;
}

static const char *nothing(void)
{
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  WANT(gg__listen_fds_take(&fds, &failure) == 0 && fds.count == 0);
  setenv("LISTEN_PID", "1", 1);
  setenv("LISTEN_FDS", "3", 1);
  WANT(gg__listen_fds_take(&fds, &failure) == 0 && fds.count == 0);
  WANT(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
  return NULL;
}

static const char *by_address_and_name(void)
{
  char text[64];
  prepare(3, "x:ssh:web:more", true); /* of which the last has another's name, but the address counts */
  snprintf(text, sizeof text, "127.0.0.1:%u", port);
  struct gg_configured *configured = configured_for("127.0.0.1:1", text);
  WANT(configured);
  WANT(gg__listen_fds_take(&fds, &failure) == 0 && fds.count == 3);
  WANT(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
  WANT(strcmp(fds.items[0].name, "x") == 0 && strcmp(fds.items[2].name, "web") == 0);
  WANT(fcntl(5, F_GETFD) & FD_CLOEXEC);
  WANT(fcntl(5, F_GETFL) & O_NONBLOCK);
  WANT(gg__listen_fds_match(&fds, configured, &failure) == GG_ERR_NOT_FOUND);
  WANT(strstr(failure.message, "descriptor 3") && strstr(failure.message, "'x'"));
  memcpy(fds.items[0].name, "web", 4);
  WANT(gg__listen_fds_match(&fds, configured, &failure) == 0);
  WANT(configured->listeners[0].inherited_count == 1 && configured->listeners[0].inherited[0] == 3);
  WANT(configured->listeners[1].inherited_count == 2 && configured->listeners[1].inherited[0] == 4);
  WANT(configured->listeners[1].inherited[1] == 5);
  gg__listen_fds_given(configured);
  WANT(configured->listeners[1].inherited_count == 0 && configured->listeners[1].inherited_foreign == 0);
  WANT(gg__listen_fd_is_owned(&fds.items[0], &configured->config)); /* by its name, from the first match on */
  gg__listen_fds_close(&fds);
  WANT(fcntl(3, F_GETFD) < 0 && fcntl(5, F_GETFD) < 0);
  return NULL;
}

/* What the process that is taken over has there, by descriptors of its own, must be the same. */
static const char *beside_a_takeover(void)
{
  char text[64];
  int taken[2];
  prepare(1, "web", true);
  snprintf(text, sizeof text, "127.0.0.1:%u", port);
  struct gg_configured *configured = configured_for("127.0.0.1:1", text);
  WANT(configured && gg__listen_fds_take(&fds, &failure) == 0);
  taken[0] = listening(0, true);
  taken[1] = listening(0, true);
  configured->listeners[1].inherited = taken;
  configured->listeners[1].inherited_count = 2;
  WANT(gg__listen_fds_match(&fds, configured, &failure) == GG_ERR_INVALID);
  WANT(strstr(failure.message, "descriptor 3") && strstr(failure.message, text) && strstr(failure.message, "another"));
  dup2(3, taken[1]);
  failure = (struct gg_failure){0};
  WANT(gg__listen_fds_match(&fds, configured, &failure) == 0);
  WANT(configured->listeners[1].inherited == taken && configured->listeners[1].inherited_count == 2);
  WANT(configured->listeners[1].inherited_foreign == 2);
  return NULL;
}

/* A reload: what was somebody's and is nobody's is kept, and given to whoever listens there again. */
static const char *lent_again(void)
{
  char text[64];
  prepare(2, "web:ssh", true);
  snprintf(text, sizeof text, "127.0.0.1:%u", port);
  struct gg_configured *first = configured_for("127.0.0.1:1", text);
  WANT(first && gg__listen_fds_take(&fds, &failure) == 0);
  WANT(gg__listen_fds_match(&fds, first, &failure) == 0); /* the first by its name alone */
  gg__listen_fds_given(first);
  struct gg_configured *moved = configured_for("127.0.0.1:2", "127.0.0.1:3");
  WANT(moved);
  gg__listen_fds_lend(&fds, moved);
  WANT(moved->listeners[0].inherited_count == 0 && moved->listeners[1].inherited_count == 0);
  WANT(!gg__listen_fd_is_owned(&fds.items[0], &moved->config) &&
       !gg__listen_fd_is_owned(&fds.items[1], &moved->config));
  struct gg_configured *back = configured_for(text, "127.0.0.1:1");
  WANT(back);
  gg__listen_fds_lend(&fds, back);
  WANT(back->listeners[0].inherited_count == 1 && back->listeners[0].inherited[0] == 4);
  WANT(back->listeners[1].inherited_count == 1 && back->listeners[1].inherited[0] == 3);
  WANT(back->listeners[0].inherited_foreign == 1);
  return NULL;
}

/* What the process before kept; the same socket as a parent's is there once. */
static const char *kept_by_another(void)
{
  struct gg_endpoint asked = {.family = GG_FAMILY_IPV4, .port = 7};
  prepare(1, "web", true);
  WANT(gg__listen_fds_take(&fds, &failure) == 0);
  WANT(gg__listen_fds_add(&fds, fcntl(3, F_DUPFD, 50), "web", &asked, &failure) == 0 && fds.count == 1);
  int other = listening(0, true);
  WANT(gg__listen_fds_add(&fds, other, "x", &asked, &failure) == 0 && fds.count == 2);
  WANT(fds.items[1].fd != other && fcntl(fds.items[1].fd, F_GETFD) & FD_CLOEXEC);
  WANT(fds.items[1].endpoint.port == port && fds.items[1].asked.port == 7);
  struct gg_configured *configured = configured_for("127.0.0.1:1", "127.0.0.1:2");
  WANT(configured && gg__listen_fds_match(&fds, configured, &failure) == 0); /* nobody's, which is fine for that one */
  gg__listen_fds_close(&fds);
  WANT(fcntl(other, F_GETFD) >= 0 && fcntl(3, F_GETFD) < 0);
  return NULL;
}

static const char *no_listening_socket(void)
{
  prepare(1, NULL, false);
  WANT(gg__listen_fds_take(&fds, &failure) == GG_ERR_INVALID && fds.count == 0);
  WANT(strstr(failure.message, "descriptor 3 is no stream socket that listens"));
  WANT(!getenv("LISTEN_FDS"));
  return NULL;
}

static const char *no_descriptor(void)
{
  prepare(1, NULL, true);
  close(3);
  WANT(gg__listen_fds_take(&fds, &failure) == GG_ERR_INVALID);
  WANT(strstr(failure.message, "there is no descriptor 3"));
  return NULL;
}

static const char *no_number(void)
{
  static const char *const wrong[] = {"x", "-1", "1000000", "257", ""};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    prepare(0, NULL, true);
    setenv("LISTEN_FDS", wrong[i], 1);
    failure = (struct gg_failure){0};
    WANT(gg__listen_fds_take(&fds, &failure) == GG_ERR_INVALID);
    WANT(strstr(failure.message, "LISTEN_FDS is"));
  }
  prepare(0, NULL, true);
  setenv("LISTEN_PID", "me", 1);
  WANT(gg__listen_fds_take(&fds, &failure) == GG_ERR_INVALID);
  return NULL;
}

static void run_child(void **state)
{
  in_child((const char *(*)(void))(uintptr_t)*state);
}

#define CHILD(body)                                                                                                    \
  {                                                                                                                    \
    .name = #body, .test_func = run_child, .initial_state = (void *)(uintptr_t)(body)                                  \
  }

int main(void)
{
  const struct CMUnitTest tests[] = {
    CHILD(nothing),         CHILD(by_address_and_name), CHILD(beside_a_takeover), CHILD(lent_again),
    CHILD(kept_by_another), CHILD(no_listening_socket), CHILD(no_descriptor),     CHILD(no_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
