/* SPDX-License-Identifier: Apache-2.0 */
/**
 * preload_hosts.c - for LD_PRELOAD: getaddrinfo(3) that knows only what a file says, so that a test decides when a name
 * begins to resolve. $PRELOAD_HOSTS names the file; its lines are "NAME IPV4". Read anew at every question.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer {
  struct addrinfo info;
  struct sockaddr_in address;
};

static int find(const char *host, struct in_addr *out)
{
  const char *path = getenv("PRELOAD_HOSTS");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[512];
  int found = 0;
  while (file && !found && fgets(line, sizeof line, file)) {
    char *rest = NULL;
    char *name = strtok_r(line, " \n", &rest), *address = strtok_r(NULL, " \n", &rest);
    found = name && address && strcmp(name, host) == 0 && inet_pton(AF_INET, address, out) == 1;
  }
  if (file)
    fclose(file);
  return found;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
  (void)service;
  (void)hints;
  struct answer *answer = calloc(1, sizeof *answer);
  if (!answer)
    return EAI_MEMORY;
  if (!find(host, &answer->address.sin_addr)) {
    free(answer);
    return EAI_NONAME;
  }
  answer->address.sin_family = AF_INET;
  answer->info.ai_family = AF_INET;
  answer->info.ai_socktype = SOCK_STREAM;
  answer->info.ai_addr = (struct sockaddr *)&answer->address;
  answer->info.ai_addrlen = sizeof answer->address;
  *out = &answer->info;
  return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
  free(info);
}
