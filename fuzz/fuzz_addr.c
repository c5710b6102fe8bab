/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, networks, values with units, escapes: what is accepted is written in a form that reads as the same. */
#include "base/clock.h"
#include "base/text.h"
#include "net/addr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void check(bool holds)
{
  if (!holds)
    abort();
}

static void run_endpoint(const char *text, bool listen)
{
  struct gg_endpoint first, second;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct sockaddr_un sun;
  char written[512], again[512];
  if (gg_endpoint_parse(&first, text, listen, &failure) != 0) {
    check(failure.code == GG_ERR_FORMAT && failure.message[0] != '\0');
    return;
  }
  size_t length = gg_endpoint_format(&first, written, sizeof written);
  check(length == strlen(written) && length < sizeof written - 1);
  check(gg_endpoint_parse(&second, written, listen, NULL) == 0);
  gg_endpoint_format(&second, again, sizeof again);
  check(strcmp(written, again) == 0);
  check((gg_endpoint_to_sockaddr_un(&first, &sun) > 0) == (first.family == GG_FAMILY_UNIX));
}

static void run_network(const char *text)
{
  struct gg_network network;
  if (gg_network_parse(&network, text, NULL) == 0)
    check(gg_network_contains(&network, &network.base));
}

static void run_addr(const char *text)
{
  struct gg_addr first, second;
  struct sockaddr_storage storage;
  char written[GG_ADDR_TEXT_MAX];
  if (gg_addr_parse(&first, text) != 0)
    return;
  gg_addr_format(&first, written, sizeof written);
  check(gg_addr_parse(&second, written) == 0 && gg_addr_equal(&first, &second));
  socklen_t length = gg_addr_to_sockaddr(&first, &storage);
  gg_addr_from_sockaddr(&second, (struct sockaddr *)&storage, length);
  check(gg_addr_equal(&first, &second));
}

static void run_values(const char *text)
{
  char written[GG_TEXT_VALUE_MAX];
  uint64_t value, again;
  if (gg_text_parse_bytes(&value, text) == 0) {
    gg_text_format_bytes(value, written, sizeof written);
    check(gg_text_parse_bytes(&again, written) == 0 && again == value);
  }
  if (gg_text_parse_duration(&value, text) == 0) {
    gg_text_format_duration(value, written, sizeof written);
    check(gg_text_parse_duration(&again, written) == 0 && again == value);
  }
  if (gg_clock_parse(&value, text) == 0) {
    check(gg_clock_format(value, 9, written, sizeof written) > 0);
    check(gg_clock_parse(&again, written) == 0 && again == value);
  }
}

/* Escaping and making safe, of any bytes. */
static void run_bytes(const char *text, size_t length)
{
  size_t size = 8 * length + 1;
  char *escaped = malloc(size);
  char *back = malloc(size);
  size_t back_length = 0;
  check(escaped && back);
  gg_text_escape(escaped, text, length);
  check(gg_text_unescape(back, &back_length, escaped) == 0);
  check(back_length == length && memcmp(back, text, length) == 0);
  size_t used = gg_text_sanitize(back, size, text, length, GG_TEXT_ONE_LINE);
  check(strlen(back) == used);
  for (size_t i = 0; i < used; i++)
    check((unsigned char)back[i] >= 0x20 && back[i] != 0x7F);
  free(escaped);
  free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
  char *text = malloc(length + 1);
  check(text != NULL);
  memcpy(text, data, length);
  text[length] = '\0';
  run_endpoint(text, true);
  run_endpoint(text, false);
  run_network(text);
  run_addr(text);
  run_values(text);
  run_bytes(text, length);
  free(text);
  return 0;
}
