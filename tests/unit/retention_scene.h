/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retention_scene.h - a small store for tests of what goes and what stays; sessions are held, and segments go.
 */
#ifndef GG_TESTS_RETENTION_SCENE_H
#define GG_TESTS_RETENTION_SCENE_H

#include "store/marks.h"
#include "store_files.h"

#include <gogetway/store.h>

enum { TOLD_MAX = 64 };

/* Three segments with a session each of their own (11, 12, 13), and one (1) that goes through all of them. */
struct scene {
  struct files files;
  struct talk through;
  unsigned told;
  struct gg_pruned last[TOLD_MAX];
  char names[TOLD_MAX][128];
};

static inline void name_of(unsigned number, char name[128])
{
  snprintf(name, 128, "20231114T22132%u.000Z-w0-block-%06u.pcapng", number, number);
}

static inline int begin(void **state)
{
  struct scene *scene = calloc(1, sizeof *scene);
  char name[128];
  files_begin(&scene->files);
  for (unsigned number = 1; number <= 3; number++) {
    struct talk own;
    char text[3000];
    name_of(number, name);
    files_segment(&scene->files, name);
    memset(text, (int)('a' + number), sizeof text);
    if (number == 1)
      talk_open(&scene->files, &scene->through, 1, 4001);
    talk_say(&scene->files, &scene->through, GG_FROM_CLIENT, text, 1000 + number);
    talk_open(&scene->files, &own, 10 + number, (uint16_t)(5000 + number));
    talk_say(&scene->files, &own, GG_FROM_SERVER, text, sizeof text);
    talk_say(&scene->files, &scene->through, GG_FROM_SERVER, text, 500);
    talk_close(&scene->files, &own);
    if (number == 3)
      talk_close(&scene->files, &scene->through);
    files_write(&scene->files);
  }
  *state = scene;
  return 0;
}

static inline int end(void **state)
{
  struct scene *scene = *state;
  char path[128];
  snprintf(path, sizeof path, "%s/journal", scene->files.dir);
  files_remove_in(path);
  files_end(&scene->files);
  free(scene);
  return 0;
}

static inline void hold(const struct scene *scene, unsigned number, bool held)
{
  struct gg__marks *marks = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  char id[25];
  const char *ids[] = {id};
  snprintf(id, sizeof id, "018c0000000000000000%04x", number);
  assert_int_equal(gg__marks_open(&marks, scene->files.dir, &failure), 0);
  if (gg__marks_hold(marks, ids, 1, held, &failure) != 0)
    fail_msg("%s", failure.message);
  gg__marks_close(marks);
}

static inline void tell(void *context, const struct gg_pruned *pruned)
{
  struct scene *scene = context;
  assert_true(scene->told < TOLD_MAX);
  snprintf(scene->names[scene->told], sizeof scene->names[0], "%s", pruned->segment);
  scene->last[scene->told++] = *pruned;
}

static inline struct gg_prune_result prune(struct scene *scene, struct gg_prune_options options)
{
  struct gg_prune_result result;
  struct gg_failure failure = GG_FAILURE_INIT;
  options.size = sizeof options;
  options.segment = tell;
  options.context = scene;
  scene->told = 0;
  if (gg_store_prune(scene->files.dir, &options, &result, &failure) != 0)
    fail_msg("%s", failure.message);
  return result;
}

#endif
