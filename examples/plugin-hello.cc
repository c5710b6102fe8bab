// SPDX-License-Identifier: Apache-2.0
// plugin-hello.cc - a plug-in in C++ to copy: it does what plugin-hello.c does, and has the same options and command.
//
//     c++ -std=c++17 -shared -fPIC plugin-hello.cc -o plugin-hello.so $(pkg-config --cflags gogetway-plugin)
//
// (With g++ add -fno-gnu-unique: without it, a static variable in a template or an inline function of some header is
// enough for the loader to never let go of the library again, and a reload would find the old one.)
//
// What C++ adds to the rules of plugin.h: no exception leaves a callback, for its caller is C. So memory is asked for
// by new (std::nothrow), and each callback is noexcept: what is thrown in it all the same ends the process there, and
// not somewhere else. The table is filled in by a function, which runs when the library is loaded: before C++20 members
// cannot be named in an initializer.
#include <gogetway/plugin.h>

#include <atomic>
#include <cinttypes>
#include <new>

namespace {

enum { OPTION_LARGE, OPTION_TAG, OPTIONS };
enum { COMMAND_SHOW, COMMANDS };

// What is kept of each session: host->state has it.
struct Seen {
  uint64_t bytes = 0;
  bool tagged = false;
};

// An instance. Workers call it at the same time, each for sessions of its own: what they share is atomic.
class Hello {
public:
  Hello(const gg_host *host, const gg_plugin_config *config)
      : host_(host), large_(config->values[OPTION_LARGE].number), tag_(config->values[OPTION_TAG].text)
  {
  }

  // Without memory the session is not counted, which is no reason to refuse it.
  void open(gg_live *session)
  {
    Seen *seen = new (std::nothrow) Seen;
    sessions_++;
    open_++;
    host_->state_set(host_, session, seen);
    if (!seen)
      return;
    host_->want(host_, session, GG_SIDE_CLIENT, GG_MODE_COUNT);
    host_->want(host_, session, GG_SIDE_SERVER, GG_MODE_COUNT);
  }

  void count(gg_live *session, gg_side from, size_t bytes)
  {
    Seen *seen = static_cast<Seen *>(host_->state(host_, session));
    bytes_[from] += bytes;
    seen->bytes += bytes;
    if (seen->tagged || seen->bytes < large_)
      return;
    gg_session_key key;
    seen->tagged = true;
    host_->key(host_, session, &key);
    if (host_->tag(host_, &key, tag_, true) == 0)
      tagged_++;
  }

  void close(gg_live *session)
  {
    delete static_cast<Seen *>(host_->state(host_, session));
    host_->state_set(host_, session, nullptr);
    open_--;
  }

  void show(void *reply) const
  {
    char text[256];
    snprintf(text, sizeof text,
             "sessions %" PRIu64 "\nopen %" PRIu64 "\ntagged %" PRIu64 "\nclient bytes %" PRIu64
             "\nserver bytes %" PRIu64 "\n",
             sessions_.load(), open_.load(), tagged_.load(), bytes_[GG_SIDE_CLIENT].load(),
             bytes_[GG_SIDE_SERVER].load());
    host_->reply(host_, reply, text);
  }

private:
  const gg_host *host_;
  uint64_t large_;
  const char *tag_; // lives as long as the instance
  std::atomic<uint64_t> sessions_{0}, open_{0}, tagged_{0};
  std::atomic<uint64_t> bytes_[2] = {}; // by enum gg_side
};

Hello *hello_of(void *self)
{
  return static_cast<Hello *>(self);
}

int on_create(void **self, const gg_host *host, const gg_plugin_config *config, gg_failure *failure) noexcept
{
  *self = new (std::nothrow) Hello(host, config);
  return *self ? 0 : gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
}

void on_destroy(void *self) noexcept
{
  delete hello_of(self);
}

void on_open(void *self, gg_live *session, gg_open *) noexcept
{
  hello_of(self)->open(session);
}

void on_count(void *self, gg_live *session, gg_side from, size_t bytes) noexcept
{
  hello_of(self)->count(session, from, bytes);
}

void on_close(void *self, gg_live *session, const gg_session_summary *) noexcept
{
  hello_of(self)->close(session);
}

// No words: the table says that there are none, so the gateway refuses any.
int on_command(void *self, unsigned command, size_t, const char *const *, void *reply, gg_failure *failure) noexcept
{
  if (command != COMMAND_SHOW)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "there is no such command");
  hello_of(self)->show(reply);
  return 0;
}

gg_plugin_option options[OPTIONS];
gg_plugin_command commands[COMMANDS];

gg_plugin make_table()
{
  options[OPTION_LARGE].name = "large";
  options[OPTION_LARGE].type = GG_PLUGIN_BYTES;
  options[OPTION_LARGE].least = 1;
  options[OPTION_LARGE].most = UINT64_MAX;
  options[OPTION_LARGE].preset = "1MiB";
  options[OPTION_LARGE].help = "bytes of a session, both ways together, from which on it is tagged";
  options[OPTION_TAG].name = "tag";
  options[OPTION_TAG].type = GG_PLUGIN_TEXT;
  options[OPTION_TAG].least = 1;
  options[OPTION_TAG].most = GG_TAG_MAX - 1;
  options[OPTION_TAG].preset = "large";
  options[OPTION_TAG].help = "the tag of a large session";
  commands[COMMAND_SHOW].verb = "show";
  commands[COMMAND_SHOW].help = "how many sessions and bytes it has seen";

  gg_plugin table = GG_PLUGIN_INIT;
  table.name = "hello";
  table.version = "1.0";
  table.summary = "counts sessions and bytes";
  table.options = options;
  table.option_count = OPTIONS;
  table.commands = commands;
  table.command_count = COMMANDS;
  table.create = on_create;
  table.destroy = on_destroy;
  table.open = on_open;
  table.count = on_count;
  table.close = on_close;
  table.command = on_command;
  return table;
}

} // namespace

GG_PLUGIN_EXPORT const gg_plugin gogetway_plugin = make_table();
