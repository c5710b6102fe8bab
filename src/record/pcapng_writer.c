/* SPDX-License-Identifier: Apache-2.0 */
#include "record/pcapng_writer.h"

#include "record/pcapng.h"
#include "record/section.h"

#include <string.h>

enum { BILLION = 1000000000 };

static int begin_interface(struct gg_pcapng_writer *writer, uint16_t link_type)
{
  uint8_t block[GG_SECTION_INTERFACE_MAX];
  if (writer->link_count == GG_PCAPNG_WRITER_LINKS_MAX)
    return GG_ERR_LIMIT;
  size_t bytes = gg_section_interface(block, NULL);
  memcpy(block + 8, &link_type, sizeof link_type);
  writer->link_types[writer->link_count++] = link_type;
  return writer->write(writer->context, block, bytes);
}

int gg_pcapng_writer_begin(struct gg_pcapng_writer *writer, gg_capture_write_fn write, void *context,
                           const char *application, const char *comment)
{
  uint8_t header[GG_SECTION_HEADER_MAX];
  *writer = (struct gg_pcapng_writer){.write = write, .context = context};
  int error = write(context, header, gg_section_header(header, application, NULL, comment));
  return error != 0 ? error : begin_interface(writer, GG_LINK_ETHERNET);
}

static int find_interface(struct gg_pcapng_writer *writer, uint16_t link_type, uint32_t *number)
{
  for (uint32_t i = 0; i < writer->link_count; i++) {
    if (writer->link_types[i] == link_type) {
      *number = i;
      return 0;
    }
  }
  *number = writer->link_count;
  return begin_interface(writer, link_type);
}

/* One option, its number and length in our byte order. */
static int write_option(struct gg_pcapng_writer *writer, uint16_t code, const void *value, uint16_t bytes)
{
  static const uint8_t zeros[4];
  const uint16_t head[2] = {code, bytes};
  int error = writer->write(writer->context, head, sizeof head);
  if (error == 0 && bytes != 0)
    error = writer->write(writer->context, value, bytes);
  if (error == 0 && bytes % 4 != 0)
    error = writer->write(writer->context, zeros, 4 - bytes % 4);
  return error;
}

/* The comments and flags of a packet whose options are in the other byte order; what else there is would need its
 * meaning to be known. With `writer` NULL nothing is written. Returns the bytes, or an error. */
static int64_t write_known_options(struct gg_pcapng_writer *writer, const struct gg_pcapng_packet *packet)
{
  const uint8_t *at = packet->options, *value;
  size_t left = packet->options_bytes;
  uint16_t code, bytes;
  int64_t total = 0;
  int error = 0;
  while (error == 0 && gg_pcapng_option_next(&at, &left, packet->block.swapped, &code, &bytes, &value) == 1) {
    uint32_t flags;
    if (code == GG_PCAPNG_EPB_FLAGS && bytes == sizeof flags) {
      memcpy(&flags, value, sizeof flags);
      flags = __builtin_bswap32(flags);
      value = (const uint8_t *)&flags;
    } else if (code != GG_PCAPNG_OPT_COMMENT) {
      continue;
    }
    total += 4 + (int64_t)gg_pcapng_pad(bytes);
    if (writer != NULL)
      error = write_option(writer, code, value, bytes);
  }
  if (error == 0 && total != 0) {
    total += 4;
    if (writer != NULL)
      error = write_option(writer, GG_PCAPNG_OPT_END, NULL, 0);
  }
  return error != 0 ? error : total;
}

int gg_pcapng_writer_packet(struct gg_pcapng_writer *writer, const struct gg_pcapng_packet *packet)
{
  static const uint8_t zeros[4];
  uint32_t number;
  if (packet->captured > GG_PCAPNG_BLOCK_MAX - 2 * GG_PCAPNG_EPB_HEAD)
    return GG_ERR_RANGE;
  size_t padding = gg_pcapng_pad(packet->captured) - packet->captured;
  bool own_order = !packet->block.swapped;
  int64_t options = own_order ? packet->options_bytes : write_known_options(NULL, packet);
  uint64_t total = GG_PCAPNG_EPB_HEAD + packet->captured + padding + (uint64_t)options + 4;
  if (total > GG_PCAPNG_BLOCK_MAX)
    return GG_ERR_RANGE;
  int error = find_interface(writer, packet->link_type, &number);
  if (error != 0)
    return error;
  const uint32_t head[7] = {
    GG_PCAPNG_EPB,    (uint32_t)total, number, (uint32_t)(packet->time_ns >> 32), (uint32_t)packet->time_ns,
    packet->captured, packet->original};
  const uint32_t end = (uint32_t)total;
  error = writer->write(writer->context, head, sizeof head);
  if (error == 0 && packet->captured != 0)
    error = writer->write(writer->context, packet->data, packet->captured);
  if (error == 0 && padding != 0)
    error = writer->write(writer->context, zeros, padding);
  if (error == 0 && own_order && packet->options_bytes != 0)
    error = writer->write(writer->context, packet->options, packet->options_bytes);
  if (error == 0 && !own_order && options != 0) {
    int64_t written = write_known_options(writer, packet);
    error = written < 0 ? (int)written : 0;
  }
  return error != 0 ? error : writer->write(writer->context, &end, sizeof end);
}

int gg_pcap_writer_begin(struct gg_pcap_writer *writer, gg_capture_write_fn write, void *context, uint16_t link_type)
{
  struct {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, snaplen, link_type;
  } header = {0xa1b23c4du, 2, 4, 0, 0, GG_PCAPNG_SNAPLEN, link_type};
  *writer = (struct gg_pcap_writer){.write = write, .context = context, .link_type = link_type};
  return write(context, &header, sizeof header);
}

int gg_pcap_writer_packet(struct gg_pcap_writer *writer, const struct gg_pcapng_packet *packet)
{
  if (packet->link_type != writer->link_type)
    return GG_ERR_UNSUPPORTED;
  if (packet->time_ns / BILLION > UINT32_MAX)
    return GG_ERR_RANGE;
  const uint32_t head[4] = {(uint32_t)(packet->time_ns / BILLION), (uint32_t)(packet->time_ns % BILLION),
                            packet->captured, packet->original};
  int error = writer->write(writer->context, head, sizeof head);
  if (error == 0 && packet->captured != 0)
    error = writer->write(writer->context, packet->data, packet->captured);
  return error;
}
