/* SPDX-License-Identifier: Apache-2.0 */
/* What libhtp reads in conversations of HTTP/1: an independent opinion.
 *
 *     read_http CLIENT SERVER [CLIENT SERVER ...]
 *
 * CLIENT and SERVER are files with the bytes of either side. For each such pair a line comes out, a JSON array of its
 * transactions. Bytes are letters of the same number (Latin-1). A header that comes several times is one for libhtp,
 * with its values in a row, separated by commas. */
#include <htp/htp.h>
#include <stdio.h>
#include <stdlib.h>

/* Two readers may disagree about where its body ends. */
#define AMBIGUOUS (HTP_REQUEST_SMUGGLING | HTP_REQUEST_INVALID_T_E | HTP_REQUEST_INVALID_C_L)

struct bytes {
  unsigned char *data;
  size_t length;
};

static struct bytes read_all(const char *name)
{
  enum { BYTES_MAX = 16 << 20 };
  struct bytes bytes = {malloc(BYTES_MAX), 0};
  FILE *file = fopen(name, "rb");
  if (!file || !bytes.data) {
    perror(name);
    exit(2);
  }
  bytes.length = fread(bytes.data, 1, BYTES_MAX, file);
  fclose(file);
  return bytes;
}

static void put_text(const char *name, const bstr *text)
{
  printf("\"%s\":", name);
  if (!text) {
    fputs("null", stdout);
    return;
  }
  putchar('"');
  for (size_t i = 0; i < bstr_len(text); i++) {
    unsigned char letter = bstr_ptr(text)[i];
    if (letter < ' ' || letter > '~' || letter == '"' || letter == '\\')
      printf("\\u%04x", letter);
    else
      putchar(letter);
  }
  putchar('"');
}

static void put_headers(const char *name, const htp_table_t *headers)
{
  printf("\"%s\":[", name);
  for (size_t i = 0; headers && i < htp_table_size(headers); i++) {
    const htp_header_t *header = htp_table_get_index(headers, i, NULL);
    fputs(i ? ",{" : "{", stdout);
    put_text("name", header->name);
    putchar(',');
    put_text("value", header->value);
    printf(",\"repeated\":%s}", header->flags & HTP_FIELD_REPEATED ? "true" : "false");
  }
  putchar(']');
}

static void put_transaction(const htp_tx_t *transaction)
{
  putchar('{');
  put_text("method", transaction->request_method);
  putchar(',');
  put_text("target", transaction->request_uri);
  putchar(',');
  put_text("version", transaction->request_protocol);
  putchar(',');
  put_headers("headers", transaction->request_headers);
  printf(",\"body\":%lld,\"whole\":%s", (long long)transaction->request_entity_len,
         transaction->request_progress == HTP_REQUEST_COMPLETE ? "true" : "false");
  printf(",\"smuggling\":%s", transaction->flags & AMBIGUOUS ? "true" : "false");
  printf(",\"status\":%d,", transaction->response_status_number);
  put_text("reason", transaction->response_message);
  putchar(',');
  put_text("answer_version", transaction->response_protocol);
  putchar(',');
  put_headers("answer_headers", transaction->response_headers);
  printf(",\"answer_body\":%lld,\"answer_whole\":%s}", (long long)transaction->response_entity_len,
         transaction->response_progress == HTP_RESPONSE_COMPLETE ? "true" : "false");
}

static void read_pair(htp_cfg_t *config, const char *client, const char *server)
{
  struct bytes said = read_all(client), answered = read_all(server);
  htp_time_t time = {1, 0};
  htp_connp_t *parser = htp_connp_create(config);
  htp_connp_open(parser, "127.0.0.1", 1, "127.0.0.1", 2, &time);
  if (said.length)
    htp_connp_req_data(parser, &time, said.data, said.length);
  if (answered.length)
    htp_connp_res_data(parser, &time, answered.data, answered.length);
  htp_connp_close(parser, &time);
  const htp_conn_t *connection = htp_connp_get_connection(parser);
  putchar('[');
  for (size_t i = 0; i < htp_list_size(connection->transactions); i++) {
    fputs(i ? "," : "", stdout);
    put_transaction(htp_list_get(connection->transactions, i));
  }
  puts("]");
  htp_connp_destroy_all(parser);
  free(said.data);
  free(answered.data);
}

int main(int argc, char **argv)
{
  if (argc < 3 || argc % 2 == 0) {
    fputs("usage: read_http CLIENT SERVER [CLIENT SERVER ...]\n", stderr);
    return 2;
  }
  htp_cfg_t *config = htp_config_create();
  htp_config_set_server_personality(config, HTP_SERVER_GENERIC);
  htp_config_set_response_decompression(config, 0);
  for (int i = 1; i + 1 < argc; i += 2)
    read_pair(config, argv[i], argv[i + 1]);
  htp_config_destroy(config);
  return 0;
}
