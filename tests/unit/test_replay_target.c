/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/target.h"

#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* What the system's resolver answers: addresses in this order, or an error. */
static const char *answers[4];
static int answer_error;
static unsigned asked;

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
  static struct addrinfo list[4];
  static struct sockaddr_storage addresses[4];
  assert_string_equal(host, "canary");
  assert_null(service);
  assert_int_equal(hints->ai_socktype, SOCK_STREAM);
  asked++;
  if (answer_error)
    return answer_error;
  struct addrinfo *last = NULL;
  for (size_t i = 0; i < 4 && answers[i]; i++) {
    struct gg_addr addr;
    assert_int_equal(gg_addr_parse(&addr, answers[i]), 0);
    list[i] = (struct addrinfo){.ai_addr = (struct sockaddr *)&addresses[i]};
    list[i].ai_addrlen = gg_addr_to_sockaddr(&addr, &addresses[i]);
    if (last)
      last->ai_next = &list[i];
    last = &list[i];
  }
  *out = list;
  return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list)
{
  (void)list;
}

static struct gg_target target;
static struct gg_failure failure;

static int find(const char *to, const char *source)
{
  memset(&failure, 0, sizeof failure);
  return gg__target_find(&target, to, source, &failure);
}

static void answer(const char *first, const char *second)
{
  memset(answers, 0, sizeof answers);
  answers[0] = first;
  answers[1] = second;
  answer_error = 0;
  asked = 0;
}

static void literals_need_no_resolver(void **state)
{
  (void)state;
  answer(NULL, NULL);
  assert_int_equal(find("127.0.0.1:80", NULL), 0);
  assert_string_equal(target.text, "127.0.0.1:80");
  assert_false(target.has_source);
  assert_int_equal(find("[::1]:80", NULL), 0);
  assert_string_equal(target.text, "[::1]:80");
  assert_int_equal(find("unix:/run/x", NULL), 0);
  assert_string_equal(target.text, "unix:/run/x");
  assert_int_equal(target.to.family, GG_FAMILY_UNIX);
  assert_int_equal(asked, 0);
}

static void any_address_is_this_hosts_own(void **state)
{
  (void)state;
  answer("0.0.0.0:0", NULL);
  assert_int_equal(find("0.0.0.0:80", NULL), 0);
  assert_string_equal(target.text, "127.0.0.1:80");
  assert_int_equal(find("[::]:80", NULL), 0);
  assert_string_equal(target.text, "[::1]:80");
  assert_int_equal(find(":80", NULL), 0);
  assert_string_equal(target.text, "127.0.0.1:80");
  assert_int_equal(find("canary:80", NULL), 0);
  assert_string_equal(target.text, "127.0.0.1:80");
  assert_int_equal(find("0.0.0.1:80", NULL), 0);
  assert_string_equal(target.text, "0.0.0.1:80");
}

static void a_unix_path_of_any_length_is_told_whole(void **state)
{
  (void)state;
  char to[128] = "unix:/";
  memset(to + 6, 'x', 106);
  assert_int_equal(find(to, NULL), 0);
  assert_string_equal(target.text, to);
}

static void a_name_is_asked_for_once_and_ipv4_comes_first(void **state)
{
  (void)state;
  answer("[2001:db8::1]:0", "192.0.2.7:0");
  assert_int_equal(find("canary:8080", NULL), 0);
  assert_string_equal(target.text, "192.0.2.7:8080");
  assert_int_equal(target.to.family, GG_FAMILY_IPV4);
  assert_int_equal(asked, 1);
  answer("[2001:db8::1]:0", "[2001:db8::2]:0");
  assert_int_equal(find("canary:8080", NULL), 0);
  assert_string_equal(target.text, "[2001:db8::1]:8080");
  answer("192.0.2.8:0", "192.0.2.7:0");
  assert_int_equal(find("canary:8080", NULL), 0);
  assert_string_equal(target.text, "192.0.2.8:8080");
}

static void a_source_network_decides_the_family(void **state)
{
  (void)state;
  answer("192.0.2.7:0", "[2001:db8::1]:0");
  assert_int_equal(find("canary:8080", "fd00::/64"), 0);
  assert_string_equal(target.text, "[2001:db8::1]:8080");
  assert_true(target.has_source);
  answer("192.0.2.7:0", NULL);
  assert_int_equal(find("canary:8080", "fd00::/64"), GG_ERR_RESOLVE);
  assert_string_equal(failure.message, "the name 'canary' has no address of the source network's family");
}

static void a_name_that_does_not_resolve_is_said(void **state)
{
  (void)state;
  answer(NULL, NULL);
  answer_error = EAI_NONAME;
  assert_int_equal(find("canary:8080", NULL), GG_ERR_RESOLVE);
  assert_non_null(strstr(failure.message, "the name 'canary' does not resolve"));
}

static void wrong_texts_are_invalid(void **state)
{
  (void)state;
  assert_int_equal(find(NULL, NULL), GG_ERR_INVALID);
  assert_int_equal(find("", NULL), GG_ERR_INVALID);
  assert_int_equal(find("canary", NULL), GG_ERR_INVALID);
  assert_int_equal(strncmp(failure.message, "to: ", 4), 0);
  assert_int_equal(find("127.0.0.1:80", "127.0.0.1/8"), GG_ERR_INVALID);
  assert_int_equal(strncmp(failure.message, "source: ", 8), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(literals_need_no_resolver),
    cmocka_unit_test(any_address_is_this_hosts_own),
    cmocka_unit_test(a_unix_path_of_any_length_is_told_whole),
    cmocka_unit_test(a_name_is_asked_for_once_and_ipv4_comes_first),
    cmocka_unit_test(a_source_network_decides_the_family),
    cmocka_unit_test(a_name_that_does_not_resolve_is_said),
    cmocka_unit_test(wrong_texts_are_invalid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
