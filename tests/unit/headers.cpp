// SPDX-License-Identifier: Apache-2.0
// The installed headers as a C++ program sees them: compiled with its warnings as errors, and not run.
#include <gogetway/gogetway.h>

struct gg_engine_options engine_options = GG_ENGINE_OPTIONS_INIT;
struct gg_store_options store_options = GG_STORE_OPTIONS_INIT;
struct gg_export_options export_options = GG_EXPORT_OPTIONS_INIT;

int create(struct gg_engine **out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_engine_options options = GG_ENGINE_OPTIONS_INIT;
  return gg_engine_create(out, &options, &failure);
}
