/* SPDX-License-Identifier: Apache-2.0 */
/* What wslay reads in WebSocket connections: an independent opinion.
 *
 *     read_websocket CLIENT SERVER [CLIENT SERVER ...]
 *
 * CLIENT and SERVER are files with the bytes of either side, from their request or response on: what follows its head
 * are frames. For each file a line comes out, a JSON object: `messages`, with opcode, reserved bits, length, the FNV-1a
 * of the bytes and how many fragments there were; and `failed`, by which status wslay would fail the connection behind
 * these (0: it would not). RSV1 is let through. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

struct input {
  unsigned char *data;
  size_t length, at;
  unsigned fragments, messages;
};

static struct input read_frames(const char *name)
{
  enum { BYTES_MAX = 16 << 20 };
  struct input input = {.data = malloc(BYTES_MAX)};
  FILE *file = fopen(name, "rb");
  if (!file || !input.data) {
    perror(name);
    exit(2);
  }
  input.length = fread(input.data, 1, BYTES_MAX, file);
  fclose(file);
  while (input.at < input.length && (input.at < 4 || memcmp(input.data + input.at - 4, "\r\n\r\n", 4) != 0))
    input.at++;
  return input;
}

static ssize_t give(wslay_event_context_ptr context, uint8_t *buffer, size_t room, int flags, void *of)
{
  struct input *input = of;
  size_t length = input->length - input->at < room ? input->length - input->at : room;
  (void)flags;
  if (length == 0) {
    wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  memcpy(buffer, input->data + input->at, length);
  input->at += length;
  return (ssize_t)length;
}

static ssize_t swallow(wslay_event_context_ptr context, const uint8_t *data, size_t length, int flags, void *of)
{
  (void)context, (void)data, (void)flags, (void)of;
  return (ssize_t)length;
}

static int no_mask(wslay_event_context_ptr context, uint8_t *mask, size_t length, void *of)
{
  (void)context, (void)of;
  memset(mask, 0, length);
  return 0;
}

static void on_frame(wslay_event_context_ptr context, const struct wslay_event_on_frame_recv_start_arg *frame, void *of)
{
  struct input *input = of;
  (void)context;
  input->fragments += frame->opcode < WSLAY_CONNECTION_CLOSE;
}

static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message, void *of)
{
  struct input *input = of;
  uint64_t sum = 0xcbf29ce484222325u;
  (void)context;
  for (size_t i = 0; i < message->msg_length; i++)
    sum = (sum ^ message->msg[i]) * 0x100000001b3u;
  bool control = message->opcode >= WSLAY_CONNECTION_CLOSE;
  printf("%s{\"opcode\":%d,\"rsv\":%d,\"length\":%zu,\"sum\":\"%016llx\",\"fragments\":%u}",
         input->messages++ ? "," : "", message->opcode, message->rsv, message->msg_length, (unsigned long long)sum,
         control ? 1 : input->fragments);
  input->fragments = control ? input->fragments : 0;
}

static void read_side(const char *name, bool client)
{
  const struct wslay_event_callbacks callbacks = {.recv_callback = give,
                                                  .send_callback = swallow,
                                                  .genmask_callback = no_mask,
                                                  .on_frame_recv_start_callback = on_frame,
                                                  .on_msg_recv_callback = on_message};
  struct input input = read_frames(name);
  wslay_event_context_ptr context;
  int error = client ? wslay_event_context_server_init(&context, &callbacks, &input)
                     : wslay_event_context_client_init(&context, &callbacks, &input);
  if (error)
    exit(2);
  wslay_event_config_set_allowed_rsv_bits(context, WSLAY_RSV1_BIT);
  fputs("{\"messages\":[", stdout);
  error = wslay_event_recv(context);
  bool failed = error || (!wslay_event_get_read_enabled(context) && !wslay_event_get_close_received(context));
  wslay_event_send(context);
  printf("],\"failed\":%d}\n", failed ? wslay_event_get_status_code_sent(context) : 0);
  wslay_event_context_free(context);
  free(input.data);
}

int main(int argc, char **argv)
{
  if (argc < 3 || argc % 2 == 0) {
    fputs("usage: read_websocket CLIENT SERVER [CLIENT SERVER ...]\n", stderr);
    return 2;
  }
  for (int i = 1; i < argc; i++)
    read_side(argv[i], i % 2 == 1);
  return 0;
}
