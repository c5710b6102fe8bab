/* SPDX-License-Identifier: Apache-2.0 */
/* A capture cannot be made to fill one place of a table: hashes of tables are another process's secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/hash.h"
#include "store/xxh.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENDS = 32, PLACES = 1 << 12 };

static struct gg_addr nth(uint8_t net, uint32_t host)
{
  struct gg_addr addr;
  char text[64];
  snprintf(text, sizeof text, "%u.%u.%u.%u:1", net, host >> 16 & 255, host >> 8 & 255, host & 255);
  assert_int_equal(gg_addr_parse(&addr, text), 0);
  return addr;
}

/* Addresses that fall into place 0 of a table by the hash without a seed. */
static void choose_ends(struct gg_addr ends[ENDS], uint8_t net)
{
  size_t count = 0;
  for (uint32_t host = 1; count < ENDS && host < 1u << 24; host++) {
    struct gg_addr addr = nth(net, host);
    if ((XXH3_64bits(&addr, sizeof addr) & (PLACES - 1)) == 0)
      ends[count++] = addr;
  }
  assert_int_equal(count, ENDS);
}

/* All pairs of them would be in one place: the sum of two hashes is 0 there as well. */
static void chosen_connections_are_scattered(void **state)
{
  (void)state;
  static unsigned used[PLACES];
  struct gg_addr clients[ENDS], servers[ENDS];
  unsigned places = 0;
  choose_ends(clients, 10);
  choose_ends(servers, 11);
  for (size_t i = 0; i < ENDS; i++)
    for (size_t j = 0; j < ENDS; j++) {
      uint64_t hash = gg__hash_pair(&clients[i], &servers[j]);
      assert_int_equal(hash, gg__hash_pair(&servers[j], &clients[i]));
      places += used[hash & (PLACES - 1)]++ == 0;
    }
  assert_true(places > ENDS * ENDS / 2); /* 906 are to be expected, 1024 at the most */
}

static uint64_t hash_of_another_process(void)
{
  int ends[2];
  uint64_t hash = 0;
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    hash = gg__hash("x", 1);
    _exit(write(ends[1], &hash, sizeof hash) == sizeof hash ? 0 : 1);
  }
  assert_int_equal(read(ends[0], &hash, sizeof hash), sizeof hash);
  assert_int_equal(waitpid(child, NULL, 0), child);
  close(ends[0]);
  close(ends[1]);
  return hash;
}

/* Runs first: this process has drawn no seed yet. */
static void each_process_has_its_own(void **state)
{
  (void)state;
  assert_true(hash_of_another_process() != hash_of_another_process());
  assert_int_equal(gg__hash("x", 1), gg__hash("x", 1));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_process_has_its_own),
    cmocka_unit_test(chosen_connections_are_scattered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
