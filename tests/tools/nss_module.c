/* SPDX-License-Identifier: Apache-2.0 */
/**
 * nss_module.c - a source of names, as a host may have them beside files and DNS: with "hosts: gogetway" in
 * /etc/nsswitch.conf libc loads libnss_gogetway.so.2, found by LD_LIBRARY_PATH, and asks it. It knows "module.test".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum nss_status _nss_gogetway_gethostbyname4_r(const char *name, struct gaih_addrtuple **out, char *buffer,
                                               size_t buffer_bytes, int *error, int *host_error, int32_t *ttl);

enum nss_status _nss_gogetway_gethostbyname4_r(const char *name, struct gaih_addrtuple **out, char *buffer,
                                               size_t buffer_bytes, int *error, int *host_error, int32_t *ttl)
{
  static const char known[] = "module.test";
  struct gaih_addrtuple answer = {.family = AF_INET, .addr = {htonl(INADDR_LOOPBACK + 1)}};
  if (strcmp(name, known) != 0) {
    *host_error = HOST_NOT_FOUND;
    return NSS_STATUS_NOTFOUND;
  }
  if (buffer_bytes < sizeof answer + sizeof known) {
    *error = ERANGE;
    *host_error = NETDB_INTERNAL;
    return NSS_STATUS_TRYAGAIN;
  }
  answer.name = memcpy(buffer + sizeof answer, known, sizeof known);
  if (!*out)
    *out = (struct gaih_addrtuple *)(void *)buffer;
  memcpy(*out, &answer, sizeof answer);
  if (ttl)
    *ttl = 0;
  return NSS_STATUS_SUCCESS;
}
