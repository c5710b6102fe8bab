// SPDX-License-Identifier: Apache-2.0
// The installed headers as a C++ program sees them: compiled with its warnings as errors, and not run.
#include <gogetway/gogetway.h>

struct gg_gateway_options gateway_options = GG_GATEWAY_OPTIONS_INIT;
struct gg_store_options store_options = GG_STORE_OPTIONS_INIT;
struct gg_export_options export_options = GG_EXPORT_OPTIONS_INIT;

int create(struct gg_gateway **out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  return gg_gateway_create(out, &options, &failure);
}

// A plug-in: members by assignment, since C++ names none in an initializer before C++20.
static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *, struct gg_failure *failure)
{
  *self = const_cast<struct gg_host *>(host);
  return gg_plugin_fail(failure, GG_ERR_UNSUPPORTED, "%s", "no");
}

static struct gg_plugin make_plugin()
{
  struct gg_plugin plugin = gg_plugin();
  plugin.abi = GG_PLUGIN_ABI;
  plugin.size = sizeof plugin;
  plugin.name = "cpp";
  plugin.create = on_create;
  return plugin;
}

const struct gg_plugin gogetway_plugin = make_plugin();
