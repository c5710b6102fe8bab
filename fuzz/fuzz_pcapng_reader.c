/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a capture: read from memory and, for some, through the file buffer too; every packet is parsed as each
 * link type that is known. Beyond what the sanitizers see it is checked that both ways of reading agree, that offsets
 * only grow, and that a torn end is one.
 */
#include "record/packet_parse.h"
#include "record/pcapng.h"
#include "record/pcapng_reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { DAMAGED_MAX = 1000 };

static volatile uint64_t sink; /* so that reading every byte is not optimised away */

static void must(int holds)
{
  if (!holds)
    abort();
}

static void parse(const struct gg_pcapng_packet *packet)
{
  static const uint16_t links[] = {GG_LINK_NULL, GG_LINK_ETHERNET, GG_LINK_RAW, GG_LINK_LINUX_SLL, GG_LINK_LINUX_SLL2};
  struct gg_tcp_packet tcp;
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    if (gg_tcp_packet_parse(&tcp, links[i], packet->data, packet->captured) == 0) {
      must(tcp.payload >= packet->data && tcp.payload + tcp.payload_bytes <= packet->data + packet->captured);
      (void)gg_tcp_packet_checksums(&tcp);
    }
  }
}

/* Reads all there is; steps over damage that the reader can step over. Returns the number of packets. */
static unsigned read_all(struct gg_pcapng_reader *reader, size_t bytes, int *last)
{
  struct gg_pcapng_packet packet;
  unsigned packets = 0, damaged = 0;
  uint64_t sum = 0, before = 0;
  for (;;) {
    struct gg_failure failure = GG_FAILURE_INIT;
    int error = gg_pcapng_reader_next(reader, &packet, &failure);
    uint64_t offset = gg_pcapng_reader_offset(reader);
    *last = error;
    must(offset >= before && offset <= bytes);
    if (error == GG_ERR_AGAIN) {
      must(gg_pcapng_reader_torn(reader) == (offset != bytes));
      break;
    }
    if (error != 0) {
      must(failure.code == error && failure.message[0] != '\0');
      if (offset == before || ++damaged == DAMAGED_MAX)
        break;
      before = offset;
      continue;
    }
    must(packet.block.offset >= before && packet.block.offset + packet.block.bytes == offset);
    before = offset;
    packets++;
    for (uint32_t i = 0; i < packet.captured; i++)
      sum += packet.data[i];
    for (uint32_t i = 0; i < packet.comment_bytes; i++)
      sum += (uint8_t)packet.comment[i];
    parse(&packet);
  }
  sink = sum;
  return packets;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  struct gg_pcapng_reader *reader;
  int last, last_again;
  if (gg_pcapng_reader_open_memory(&reader, data, bytes, NULL) != 0)
    return 0;
  unsigned packets = read_all(reader, bytes, &last);
  gg_pcapng_reader_destroy(reader);

  if (bytes % 8 == 0) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes && gg_pcapng_reader_open(&reader, fd, NULL) == 0) {
      must(read_all(reader, bytes, &last_again) == packets && last_again == last);
      gg_pcapng_reader_destroy(reader);
    }
    if (fd >= 0)
      close(fd);
  }
  return 0;
}
