/* SPDX-License-Identifier: Apache-2.0 */
/* The table of net/syscalls.c where the kernel's headers have no TCGETS2: it compiles, and has what it had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/ioctl.h>
#undef TCGETS2
#include "net/syscalls.c" /* instead of the library's */

static void a_terminal_can_be_asked_for_without_tcgets2(void **state)
{
  (void)state;
  unsigned found = 0;
  for (size_t i = 0; i < gg_net_syscalls.count; i++) {
    const struct gg_syscall *item = &gg_net_syscalls.items[i];
    found += item->number == SYS_ioctl && item->when[0].argument == 1 && item->when[0].value == TCGETS;
  }
  assert_int_equal(found, 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_terminal_can_be_asked_for_without_tcgets2)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
