/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams.c - all listeners' upstreams together: who asks for their state, or drains one, does so from other threads
 * than the workers', and finds the groups as they are under a lock of their own. */
#include "base/clock.h"
#include "base/logger.h"
#include "gateway/checker.h"
#include "gateway/worker.h"

#include <string.h>

/* Tells the checker, which is there when somebody first asks for it. */
static int check_groups(struct gg_plane *plane, struct gg_failure *failure)
{
  int error = GG_OK;
  if (!plane->checker && gg__checker_wanted(plane->groups, plane->group_count))
    error = gg__checker_start(&plane->checker, plane->options.metrics, failure);
  if (!error && plane->checker && gg__checker_set(plane->checker, plane->groups, plane->group_count) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "no memory for the checks of upstreams");
  return error;
}

int gg__groups_start(struct gg_plane *plane, struct gg_failure *failure)
{
  plane->groups_started = true;
  return check_groups(plane, failure);
}

void gg__groups_publish(struct gg_plane *plane, struct gg_group *const *groups, size_t count)
{
  struct gg_group *old[GG_LISTENERS_MAX];
  assert(count <= GG_LISTENERS_MAX);
  for (size_t i = 0; i < count; i++)
    gg__group_ref(groups[i]);
  pthread_mutex_lock(&plane->groups_lock);
  size_t old_count = plane->group_count;
  memcpy(old, plane->groups, old_count * sizeof old[0]);
  if (count > 0)
    memcpy(plane->groups, groups, count * sizeof groups[0]);
  plane->group_count = count;
  for (size_t i = 0; i < count; i++)
    gg__group_govern(groups[i], gg_clock_mono_ns());
  pthread_mutex_unlock(&plane->groups_lock);
  struct gg_failure failure = GG_FAILURE_INIT;
  if (plane->groups_started && check_groups(plane, &failure) != 0)
    gg_warn(plane->options.logger, "upstreams are not checked", GG_S("reason", failure.message));
  for (size_t i = 0; i < old_count; i++)
    gg__group_destroy(old[i]);
}

void gg__groups_collect(struct gg_plane *plane)
{
  pthread_mutex_lock(&plane->groups_lock);
  for (size_t i = 0; i < plane->group_count; i++)
    gg__group_tell_weights(plane->groups[i], gg_clock_mono_ns());
  pthread_mutex_unlock(&plane->groups_lock);
}

int gg_plane_upstream(struct gg_plane *plane, size_t index, struct gg_upstream_status *out)
{
  int error = GG_ERR_NOT_FOUND;
  pthread_mutex_lock(&plane->groups_lock);
  for (size_t i = 0; i < plane->group_count; i++) {
    const struct gg_group *group = plane->groups[i];
    size_t count = group ? group->count : 0;
    if (index >= count) {
      index -= count;
      continue;
    }
    gg__group_status(group, (unsigned)index, gg_clock_mono_ns(), out);
    error = GG_OK;
    break;
  }
  pthread_mutex_unlock(&plane->groups_lock);
  return error;
}

int gg_plane_upstream_drain(struct gg_plane *plane, const char *listener, const char *name, bool drained,
                            struct gg_failure *failure)
{
  unsigned found = 0;
  pthread_mutex_lock(&plane->groups_lock);
  for (size_t i = 0; i < plane->group_count; i++) {
    const struct gg_group *group = plane->groups[i];
    if (!group || (listener && strcmp(group->listener, listener) != 0))
      continue;
    for (unsigned member = 0; member < group->count; member++) {
      struct gg_health *health = group->slots[member].member->health;
      if (strcmp(health->name, name) != 0)
        continue;
      gg__health_drain(health, drained, gg_clock_mono_ns());
      found++;
    }
  }
  pthread_mutex_unlock(&plane->groups_lock);
  if (found > 0)
    return GG_OK;
  return listener ? gg_fail(failure, GG_ERR_NOT_FOUND, "listener %s has no upstream %s", listener, name)
                  : gg_fail(failure, GG_ERR_NOT_FOUND, "no listener has an upstream %s", name);
}
