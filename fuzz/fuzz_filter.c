/* SPDX-License-Identifier: Apache-2.0 */
/* Filter words: one a line. What parses must also match without a fault. */
#include <gogetway/store.h>
#include <stdint.h>
#include <string.h>

enum { WORDS_MAX = 80, TEXT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static char text[TEXT_MAX];
  const char *words[WORDS_MAX];
  size_t count = 0;
  if (size >= sizeof text)
    size = sizeof text - 1;
  memcpy(text, data, size);
  text[size] = '\0';
  for (char *at = text; at && count < WORDS_MAX; count++) {
    words[count] = at;
    at = strchr(at, '\n');
    if (at)
      *at++ = '\0';
  }
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_filter_parse(&filter, words, count, UINT64_C(1700000000000000000), &failure) == 0) {
    struct gg_session session = {.id = "0123456789abcdef01234567",
                                 .client = "192.0.2.1:4000",
                                 .server = "[2001:db8::1]:80",
                                 .listener = "web",
                                 .upstream = "",
                                 .close = "",
                                 .why = ""};
    gg_filter_match(filter, &session);
  } else if (failure.message[0] == '\0') {
    __builtin_trap(); /* every refusal says why */
  }
  gg_filter_destroy(filter);
  return 0;
}
