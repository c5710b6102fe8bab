/* SPDX-License-Identifier: Apache-2.0 */
/* decode - how fast a session is decoded, of which all is in memory.
 *
 *     decode DECODER FILE REPEATS     one line: messages, bytes, nanoseconds of processor time
 *
 * FILE has the session: pieces of a side (0, 1), four bytes length (little endian), and the bytes. DECODER is a name,
 * `identify`, or `libhtp`, which is given the same pieces for comparison (where it was there to build with). */
#include <errno.h>
#include <gogetway/decoder.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef WITH_LIBHTP
#include <htp/htp.h>
#endif

struct piece {
  const uint8_t *data;
  uint32_t length;
  uint8_t side;
};

static uint8_t *bytes;
static struct piece *pieces;
static size_t piece_count;
static uint64_t messages;

static void die(const char *text)
{
  fprintf(stderr, "decode: %s\n", text);
  exit(2);
}

static void read_pieces(const char *path)
{
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0)
    die("cannot read the session");
  long size = ftell(file);
  bytes = malloc((size_t)size + 1);
  rewind(file);
  if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size)
    die("cannot read the session");
  fclose(file);
  size_t room = 0;
  for (size_t at = 0; at + 5 <= (size_t)size;) {
    uint32_t length =
      bytes[at + 1] | (uint32_t)bytes[at + 2] << 8 | (uint32_t)bytes[at + 3] << 16 | (uint32_t)bytes[at + 4] << 24;
    if (piece_count == room) {
      room = room ? room * 2 : 1024;
      pieces = realloc(pieces, room * sizeof *pieces);
      if (!pieces)
        die("no memory");
    }
    if (length > (size_t)size - at - 5)
      die("the session ends in the middle");
    pieces[piece_count++] = (struct piece){bytes + at + 5, length, bytes[at] ? 1 : 0};
    at += 5 + length;
  }
}

static uint64_t cpu_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ── gogetway ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_end(void *context, const struct gg_message *message)
{
  (void)context;
  (void)message;
  messages++;
}

static void on_opaque(void *context, const struct gg_opaque *opaque)
{
  (void)context;
  if (opaque->why != GG_OPAQUE_ENCRYPTED)
    die(opaque->text);
}

static void decode(const char *name)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_decoding *decoding;
  uint64_t offset[2] = {0, 0};
  sink.end = on_end;
  sink.opaque = on_opaque;
  options.decoder = strcmp(name, "identify") == 0 ? NULL : name;
  if (gg_decoding_create(&decoding, &options, &sink, &failure) != 0)
    die(failure.message);
  for (size_t i = 0; i < piece_count; i++) {
    const struct piece *piece = &pieces[i];
    gg_decoding_push(decoding, piece->side ? GG_SIDE_SERVER : GG_SIDE_CLIENT, offset[piece->side], 1000 + i,
                     piece->data, piece->length);
    offset[piece->side] += piece->length;
  }
  gg_decoding_finish(decoding, 1000 + piece_count);
  gg_decoding_destroy(decoding);
}

/* ── libhtp ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

#ifdef WITH_LIBHTP
static int on_transaction(htp_tx_t *transaction)
{
  (void)transaction;
  messages += 2; /* a request and its response */
  return HTP_OK;
}

static void decode_by_libhtp(void)
{
  static htp_cfg_t *config;
  if (!config) {
    config = htp_config_create();
    htp_config_set_server_personality(config, HTP_SERVER_GENERIC);
    htp_config_set_tx_auto_destroy(config, 1); /* else it keeps every transaction of the session */
    htp_config_register_transaction_complete(config, on_transaction);
  }
  htp_connp_t *parser = htp_connp_create(config);
  htp_time_t time = {1, 0};
  htp_connp_open(parser, "127.0.0.1", 1, "127.0.0.1", 2, &time);
  for (size_t i = 0; i < piece_count; i++) {
    if (pieces[i].side)
      htp_connp_res_data(parser, &time, pieces[i].data, pieces[i].length);
    else
      htp_connp_req_data(parser, &time, pieces[i].data, pieces[i].length);
  }
  htp_connp_close(parser, &time);
  htp_connp_destroy_all(parser);
}
#else
static void decode_by_libhtp(void)
{
  die("built without libhtp");
}
#endif

int main(int argc, char **argv)
{
  if (argc != 4)
    die("usage: decode DECODER FILE REPEATS");
  read_pieces(argv[2]);
  uint64_t total = 0;
  for (size_t i = 0; i < piece_count; i++)
    total += pieces[i].length;
  unsigned long repeats = strtoul(argv[3], NULL, 10);
  bool libhtp = strcmp(argv[1], "libhtp") == 0;
  uint64_t before = cpu_ns();
  for (unsigned long i = 0; i < repeats; i++)
    if (libhtp)
      decode_by_libhtp();
    else
      decode(argv[1]);
  printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", messages, total * repeats, cpu_ns() - before);
  free(pieces);
  free(bytes);
  return 0;
}
