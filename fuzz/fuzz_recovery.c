/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery from whatever a killed process, or somebody else, may have left: a ring with any header and contents, a
 * `running` file of any text, a segment of any bytes. The store always opens; only its segments/ changes; what is added
 * to a segment is whole pcapng blocks up to a whole page; a ring that is refused stays as it is and adds nothing.
 *
 * Input, read from the front; where it ends, everything is 0:
 *
 *     choices              enum choice
 *     length, text         the `running` file            (OWN_RUNNING)
 *     base, written        positions in pages            (written counts from base)
 *     4 x number, start, name   table of segments        (start in pages, name in NAMES)
 *     delta                committed is this much, in words of 4 bytes, off what the ring's data says
 *     count, 3 bytes each  header bytes to change: offset (2), value        (PATCHED)
 *     pages                the ring's file is cut here   (RING_CUT)
 *     length (2), bytes    the ring's data from `written` on; or count, a byte for each block (RING_BLOCKS)
 *     rest                 segments/a.pcapng; or a byte for each block, filled up to a page (FILE_BLOCKS)
 */
#include "record/log.h"
#include "record/ring.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum choice {
  NO_RUNNING = 1,
  OWN_RUNNING = 2,
  RING_GONE = 4,
  RING_BLOCKS = 8,
  FILE_BLOCKS = 16,
  NO_FILE = 32,
  PATCHED = 64,
  RING_CUT = 128,
};
enum { PATH_MAX_ = 192, DATA_MAX = 64 << 10, FILE_MAX = DATA_MAX + (64 << 10), NAMES_COUNT = 16, TABLE = 4 };

static const char UUID[] = "00000000-0000-4000-8000-00000000f055";
static const char TARGET_TEXT[] = "nobody writes here";
static char base[64], store[PATH_MAX_], segments[PATH_MAX_], rings[PATH_MAX_], ring[PATH_MAX_], target[PATH_MAX_];
static char escape[PATH_MAX_];
static uint8_t original[FILE_MAX];
static size_t original_bytes;

/* The first three are plain; the fixed ones are there already and are no regular files of one name. */
static const char *const NAMES[NAMES_COUNT] = {
  "a.pcapng",
  "b.pcapng",
  "c.pcapng",
  "link.pcapng",
  "hard.pcapng",
  "fifo.pcapng",
  "dir.pcapng",
  "socket.pcapng",
  "../e.pcapng",
  escape,
  "",
  ".h.pcapng",
  "a.pcapng.x",
  "../running",
  "dir.pcapng/x.pcapng",
  "..",
};
static bool is_fixed(const char *name)
{
  for (unsigned i = 3; i < 8; i++)
    if (strcmp(NAMES[i], name) == 0)
      return true;
  return false;
}

static void require(bool holds, const char *what)
{
  if (holds)
    return;
  fprintf(stderr, "recovery: %s\n", what);
  abort();
}

/* ── What is there before ────────────────────────────────────────────────────────────────────────────────────────── */

struct input {
  const uint8_t *at;
  size_t left;
};

static unsigned take(struct input *input)
{
  if (input->left == 0)
    return 0;
  input->left--;
  return *input->at++;
}

static size_t take_bytes(struct input *input, void *to, size_t bytes)
{
  size_t n = bytes < input->left ? bytes : input->left;
  memcpy(to, input->at, n);
  input->at += n;
  input->left -= n;
  return n;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  require(fd >= 0 && write(fd, bytes, length) == (ssize_t)length, path);
  close(fd);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
  (void)status, (void)kind, (void)place;
  return remove(path);
}

static void remove_all(void)
{
  (void)nftw(base, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_fixed(void)
{
  char path[PATH_MAX_];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  write_file(target, TARGET_TEXT, sizeof TARGET_TEXT);
  snprintf(path, sizeof path, "%.100s/link.pcapng", segments);
  require(symlink(target, path) == 0, path);
  snprintf(path, sizeof path, "%.100s/hard.pcapng", segments);
  require(link(target, path) == 0, path);
  snprintf(path, sizeof path, "%.100s/fifo.pcapng", segments);
  require(mkfifo(path, 0600) == 0, path);
  snprintf(path, sizeof path, "%.100s/dir.pcapng", segments);
  require(mkdir(path, 0700) == 0, path);
  snprintf(address.sun_path, sizeof address.sun_path, "%.80s/socket.pcapng", segments);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  require(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0, address.sun_path);
  close(fd);
}

static void prepare(void)
{
  char path[PATH_MAX_], text[128];
  snprintf(base, sizeof base, "/dev/shm/gogetway-fuzz-XXXXXX");
  require(mkdtemp(base) != NULL, base);
  atexit(remove_all);
  snprintf(store, sizeof store, "%s/store", base);
  snprintf(segments, sizeof segments, "%s/store/segments", base);
  snprintf(rings, sizeof rings, "%s/rings", base);
  snprintf(target, sizeof target, "%s/target", base);
  snprintf(escape, sizeof escape, "%s/e.pcapng", base);
  snprintf(ring, sizeof ring, "%s/rings/gogetway-%s.w0.1", base, UUID);
  require(mkdir(store, 0700) == 0 && mkdir(segments, 0700) == 0 && mkdir(rings, 0700) == 0, base);
  int length = snprintf(text, sizeof text, "gogetway store 1\nuuid %s\n", UUID);
  snprintf(path, sizeof path, "%s/store/store", base);
  write_file(path, text, (size_t)length);
  make_fixed();
}

/* A '%' stands for the directory that holds store and rings, which no input can know. */
static size_t take_running(struct input *input, char *text, size_t room)
{
  size_t used = 0;
  for (unsigned count = take(input); count > 0 && used + sizeof base < room; count--) {
    char c = (char)take(input);
    if (c == '%')
      used += (size_t)snprintf(text + used, room - used, "%s", base);
    else
      text[used++] = c;
  }
  return used;
}

static void write_running(unsigned choices, struct input *input)
{
  char path[PATH_MAX_], text[1024];
  snprintf(path, sizeof path, "%.100s/running", store);
  size_t length = (size_t)snprintf(
    text, sizeof text, "gogetway running 1\nboot b\nring w0 %s\nsegment w0 a.pcapng\nsegment w0 b.pcapng\n", ring);
  if (choices & OWN_RUNNING)
    length = take_running(input, text, sizeof text);
  if (!(choices & NO_RUNNING))
    write_file(path, text, length);
}

/* A block of `length` bytes: a packet, a section header, an interface, or of type 0, which is none. */
static void put_block(uint8_t *at, unsigned kind, uint32_t length)
{
  static const uint32_t types[4] = {6, 0x0A0D0D0A, 1, 0};
  memset(at, 'x', length);
  memcpy(at, &types[kind & 3], 4);
  memcpy(at + 4, &length, 4);
  memcpy(at + length - 4, &length, 4);
}

/* One block for a byte: the type above, the length in the lower six bits (63: a long one). */
static size_t take_blocks(struct input *input, size_t count, uint8_t *to, size_t room)
{
  size_t used = 0;
  for (; count > 0 && input->left > 0; count--) {
    unsigned choice = take(input);
    uint32_t length = (choice & 63) == 63 ? 4096 : 12 + 4 * (choice & 63);
    if (used + length > room)
      break;
    put_block(to + used, choice >> 6, length);
    used += length;
  }
  return used;
}

/* As the writer leaves a file. */
static size_t fill_page(uint8_t *at, size_t used)
{
  size_t rest = (0 - used) % GG__PAGE_BYTES;
  if (rest == 0)
    return used;
  if (rest < 24)
    rest += GG__PAGE_BYTES;
  put_block(at + used, 0, (uint32_t)rest);
  return used + rest;
}

static void patch(struct gg__ring_header *header, struct input *input)
{
  unsigned count = take(input);
  for (; count > 0 && input->left > 0; count--) {
    size_t offset = take(input);
    offset = (offset | (size_t)take(input) << 8) % sizeof *header;
    ((uint8_t *)header)[offset] = (uint8_t)take(input);
  }
}

/* What the input says of the ring. */
struct plan {
  struct gg__ring_header header;
  uint64_t at; /* where the data goes, and how much there is */
  size_t length;
  off_t file_bytes;
  uint8_t data[DATA_MAX];
};

static void plan_header(struct gg__ring_header *header, struct input *input)
{
  memset(header, 0, sizeof *header);
  memcpy(header->magic, GG__RING_MAGIC, sizeof header->magic);
  header->version = GG__RING_VERSION;
  header->header_bytes = (uint32_t)gg__ring_header_bytes();
  memcpy(header->uuid, UUID, sizeof UUID);
  memcpy(header->log_name, "w0", 3);
  header->generation = 1;
  header->ring_bytes = GG_RING_BYTES_MIN;
  uint64_t start = (uint64_t)take(input) * GG__PAGE_BYTES;
  atomic_init(&header->base, start);
  atomic_init(&header->written, start + (uint64_t)take(input) * GG__PAGE_BYTES);
  for (unsigned i = 0; i < TABLE; i++) {
    atomic_init(&header->segments[i].number, take(input));
    header->segments[i].start = (uint64_t)take(input) * GG__PAGE_BYTES;
    snprintf(header->segments[i].name, GG__SEGMENT_NAME_MAX, "%s", NAMES[take(input) % NAMES_COUNT]);
  }
}

static void plan_ring(struct plan *plan, unsigned choices, struct input *input)
{
  plan_header(&plan->header, input);
  plan->at = atomic_load(&plan->header.written);
  int64_t delta = 4 * (int64_t)(int8_t)take(input);
  struct input patches = *input; /* applied last, so that they may also change `committed` */
  if (choices & PATCHED) {
    unsigned count = take(input);
    for (unsigned i = 0; i < 3 * count; i++)
      (void)take(input);
  }
  plan->file_bytes = (off_t)(plan->header.header_bytes + plan->header.ring_bytes);
  if (choices & RING_CUT)
    plan->file_bytes = (off_t)take(input) * GG__PAGE_BYTES;
  size_t length = take(input);
  if (choices & RING_BLOCKS)
    plan->length = take_blocks(input, length, plan->data, sizeof plan->data);
  else {
    length |= (size_t)take(input) << 8;
    plan->length = take_bytes(input, plan->data, length);
  }
  atomic_init(&plan->header.committed, plan->at + plan->length + (uint64_t)delta);
  if (choices & PATCHED)
    patch(&plan->header, &patches);
}

static void write_ring(const struct plan *plan)
{
  uint64_t at = plan->at % GG_RING_BYTES_MIN;
  size_t first = GG_RING_BYTES_MIN - at < plan->length ? (size_t)(GG_RING_BYTES_MIN - at) : plan->length;
  off_t data = (off_t)gg__ring_header_bytes();
  int fd = open(ring, O_RDWR | O_CREAT | O_TRUNC, 0600);
  require(fd >= 0 && ftruncate(fd, data + GG_RING_BYTES_MIN) == 0 &&
            pwrite(fd, &plan->header, sizeof plan->header, 0) == (ssize_t)sizeof plan->header &&
            pwrite(fd, plan->data, first, data + (off_t)at) == (ssize_t)first &&
            pwrite(fd, plan->data + first, plan->length - first, data) == (ssize_t)(plan->length - first) &&
            ftruncate(fd, plan->file_bytes) == 0,
          "cannot write the ring");
  close(fd);
}

static void write_segment(unsigned choices, struct input *input)
{
  if (choices & FILE_BLOCKS)
    original_bytes = fill_page(original, take_blocks(input, SIZE_MAX, original, DATA_MAX));
  else
    original_bytes = take_bytes(input, original, DATA_MAX);
  char path[PATH_MAX_];
  snprintf(path, sizeof path, "%.100s/a.pcapng", segments);
  if (choices & NO_FILE)
    original_bytes = 0;
  else
    write_file(path, original, original_bytes);
}

/* ── What is there afterwards ────────────────────────────────────────────────────────────────────────────────────── */

/* Whole blocks from `at` to the very end, the first of them a section header where a file begins. */
static bool whole_from(const uint8_t *bytes, size_t at, size_t size)
{
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  if (at == 0 && word != 0x0A0D0D0A)
    return false;
  while (at < size) {
    uint32_t length, trailer;
    if (size - at < 12)
      return false;
    memcpy(&word, bytes + at, sizeof word);
    memcpy(&length, bytes + at + 4, sizeof length);
    if (word == 0 || length < 12 || length % 4 || length > size - at)
      return false;
    memcpy(&trailer, bytes + at + length - 4, sizeof trailer);
    if (trailer != length)
      return false;
    at += length;
  }
  return true;
}

/* As it was, or: as it was up to a place, and from there whole blocks up to a whole page. */
static bool grown_by_blocks(const uint8_t *was, size_t was_bytes, const uint8_t *bytes, size_t size)
{
  if (size == was_bytes && memcmp(was, bytes, size) == 0)
    return true;
  if (size == 0 || size % GG__PAGE_BYTES != 0)
    return false;
  if (was_bytes && whole_from(was, 0, was_bytes))
    return whole_from(bytes, 0, size);
  for (size_t at = 0; at < size && at <= was_bytes; at += 4) {
    if (whole_from(bytes, at, size))
      return true;
    if (memcmp(was + at, bytes + at, was_bytes - at < 4 ? was_bytes - at : 4) != 0)
      return false;
  }
  return false;
}

/* Returns a number that another name or other bytes would change. */
static uint64_t check_segment(int dir, const char *name, bool unchanged)
{
  static uint8_t bytes[4 * FILE_MAX];
  struct stat status;
  bool was = strcmp(name, "a.pcapng") == 0 || strcmp(name, "a.pcapng.damaged") == 0;
  const char *dot = strrchr(name, '.');
  require(dot && (strcmp(dot, ".pcapng") == 0 || strcmp(name, "a.pcapng.damaged") == 0), "a segment of a strange name");
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  require(fd >= 0 && fstat(fd, &status) == 0, "a segment that cannot be opened");
  require(S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0600, "a segment that others may read");
  require((size_t)status.st_size <= sizeof bytes, "a segment that is too long");
  require(read(fd, bytes, sizeof bytes) == (ssize_t)status.st_size, "a segment that cannot be read");
  close(fd);
  size_t size = (size_t)status.st_size;
  if (unchanged)
    require(was && size == original_bytes && memcmp(bytes, original, size) == 0, "a refused ring was written");
  require(grown_by_blocks(original, was ? original_bytes : 0, bytes, size), "a segment with torn blocks");
  uint64_t sum = 14695981039346656037u;
  for (const char *at = name; *at; at++)
    sum = (sum ^ (uint8_t)*at) * 1099511628211u;
  for (size_t i = 0; i < size; i++)
    sum = (sum ^ bytes[i]) * 1099511628211u;
  return sum;
}

static uint64_t check_segments(bool unchanged)
{
  uint64_t sum = 0;
  DIR *list = opendir(segments);
  require(list != NULL, segments);
  for (struct dirent *entry; (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !is_fixed(entry->d_name))
      sum += check_segment(dirfd(list), entry->d_name, unchanged);
  closedir(list);
  return sum;
}

static void remove_segments(void)
{
  DIR *list = opendir(segments);
  require(list != NULL, segments);
  for (struct dirent *entry; (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !is_fixed(entry->d_name))
      require(unlinkat(dirfd(list), entry->d_name, 0) == 0, entry->d_name);
  closedir(list);
}

static unsigned count_entries(const char *path)
{
  unsigned count = 0;
  DIR *list = opendir(path);
  require(list != NULL, path);
  while (readdir(list))
    count++;
  closedir(list);
  return count - 2;
}

static void check_elsewhere(bool ring_left)
{
  char text[sizeof TARGET_TEXT + 1];
  int fd = open(target, O_RDONLY);
  require(fd >= 0 && read(fd, text, sizeof text) == sizeof TARGET_TEXT &&
            memcmp(text, TARGET_TEXT, sizeof TARGET_TEXT) == 0,
          "a file outside the store was written");
  close(fd);
  require(count_entries(base) == 3, "something new beside the store");
  require(count_entries(store) == 4, "something new in the store"); /* journal, lock, segments, store */
  require(count_entries(rings) == ring_left, "a ring that was recovered is left, or one that was refused is gone");
  char path[PATH_MAX_ + 16];
  for (unsigned i = 3; i < 8; i++) {
    snprintf(path, sizeof path, "%s/%s", segments, NAMES[i]);
    require(access(path, F_OK) == 0, path);
  }
}

static uint64_t recover_and_check(bool ring_there, bool first)
{
  struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
  options.dir = store;
  options.ring_dir = rings;
  struct gg_recorder *recorder;
  struct gg_recovery recovery;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_recorder_open(&recorder, &options, &recovery, &failure);
  require(error == 0, failure.message);
  gg_recorder_destroy(recorder);
  require(recovery.rings + recovery.rings_refused <= ring_there, "more rings than there are");
  check_elsewhere(recovery.rings_refused);
  return check_segments(first && recovery.rings == 0 && recovery.rings_missing == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct plan plan;
  struct input input = {data, size};
  if (!base[0])
    prepare();
  unsigned choices = take(&input);
  write_running(choices, &input);
  plan_ring(&plan, choices, &input);
  write_segment(choices, &input);
  if (!(choices & RING_GONE))
    write_ring(&plan);
  uint64_t once = recover_and_check(!(choices & RING_GONE), true);
  uint64_t twice = recover_and_check(!(choices & RING_GONE), false);
  require(once == twice, "a second recovery changed what the first one made");
  remove_segments();
  (void)unlink(ring);
  return 0;
}
