# SPDX-License-Identifier: Apache-2.0
"""A replay with a plug-in: what it puts out goes instead of what was recorded, and everything else stays true: what is
waited for, compared, counted, recorded and reported."""
import os
import pathlib
import socket
import threading
import time

import pytest

import faults
import processes
from gogetway import Store, program
from plugging import Kit
from replaying import SECOND, Tape, replay

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]

# Each piece goes as the option says; "see" writes what it was given into a file.
SOURCE = r"""
#include <gogetway/plugin.h>
#include <stdlib.h>
#include <string.h>

static const char *const hows[] = {"pass", "replace", "twice", "grow", "nothing", "flood", "close", "reset", "hold",
                                   NULL};
enum { PASS, REPLACE, TWICE, GROW, NOTHING, FLOOD, CLOSE, RESET, HOLD };
static const struct gg_plugin_option options[] = {
  {.name = "how", .type = GG_PLUGIN_CHOICE, .preset = "pass", .choices = hows, .help = "what it does"},
  {.name = "from", .type = GG_PLUGIN_TEXT, .preset = "old", .help = "what is replaced"},
  {.name = "to", .type = GG_PLUGIN_TEXT, .preset = "new", .help = "by what"},
  {.name = "at", .type = GG_PLUGIN_COUNT, .most = 1000000, .help = "the offset from which on it does it"},
  {.name = "see", .type = GG_PLUGIN_TEXT, .help = "where it writes what it was given"},
};

struct it { const struct gg_host *host; const struct gg_plugin_value *values; FILE *seen; };

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct it *it = calloc(1, sizeof *it);
  struct gg_session_key key = {"00"};
  struct gg_session_info info = {.size = sizeof info};
  it->host = host;
  it->values = config->values;
  it->seen = it->values[4].text ? fopen(it->values[4].text, "w") : NULL;
  if (it->values[4].text && !it->seen)
    return gg_plugin_fail(failure, GG_ERR_IO, "cannot write %s", it->values[4].text);
  if (host->state_dir || host->find(host, &key, &info) != GG_ERR_NOT_FOUND ||
      host->tag(host, &key, "a", true) != GG_ERR_NOT_FOUND)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "there is a session");
  if (it->values[0].number == HOLD)
    host->log(host, GG_PLUGIN_WARNING, "this one holds");
  *self = it;
  return 0;
}

static void on_destroy(void *self)
{
  struct it *it = self;
  if (it->seen)
    fclose(it->seen);
  free(it);
}

static void replace(struct it *it, const struct gg_replay_piece *piece, struct gg_output *output)
{
  const char *from = it->values[1].text, *to = it->values[2].text;
  const uint8_t *at = piece->bytes, *end = at + piece->length, *found;
  while ((found = memmem(at, (size_t)(end - at), from, strlen(from)))) {
    it->host->emit(it->host, output, at, (size_t)(found - at));
    it->host->emit(it->host, output, to, strlen(to));
    at = found + strlen(from);
  }
  if (at != piece->bytes)
    it->host->emit(it->host, output, at, (size_t)(end - at));
}

static enum gg_verdict_kind on_send(void *self, const struct gg_replay_piece *piece, struct gg_output *output)
{
  struct it *it = self;
  const struct gg_host *host = it->host;
  static const uint8_t zeros[600 << 10];
  if (it->seen)
    fprintf(it->seen, "%s %s %d %zu %llu %u\n", piece->key.text, piece->target, piece->from, piece->length,
            (unsigned long long)piece->offset, piece->copy);
  if (piece->offset < it->values[3].number)
    return GG_VERDICT_PASS;
  switch (it->values[0].number) {
  case REPLACE:
    replace(it, piece, output);
    break;
  case TWICE:
    host->emit(host, output, piece->bytes, piece->length);
    host->emit(host, output, piece->bytes, piece->length);
    break;
  case GROW:
    host->emit(host, output, zeros, sizeof zeros);
    host->emit(host, output, piece->bytes, piece->length);
    break;
  case NOTHING:
    host->emit(host, output, "", 0);
    break;
  case FLOOD:
    host->emit(host, output, zeros, sizeof zeros);
    host->emit(host, output, zeros, sizeof zeros);
    break;
  case CLOSE:
    return GG_VERDICT_CLOSE;
  case RESET:
    return GG_VERDICT_RESET;
  case HOLD:
    return GG_VERDICT_HOLD;
  }
  return GG_VERDICT_PASS;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD, .name = "swap", .options = options, .option_count = 5, .create = on_create, .destroy = on_destroy,
  .replay_send = on_send};
"""


@pytest.fixture(scope="module")
def swap(tmp_path_factory):
    place = tmp_path_factory.mktemp("kit")
    return Kit(place).build(place / "swap", "#define _GNU_SOURCE\n" + SOURCE)


class Lines(faults.Upstream):
    """Answers each line by "ok " and its last 16 bytes; `slow`: not at once. `got`: what each connection has said, by
    the order of coming; `ends`: how they ended."""

    def __init__(self, slow=False):
        super().__init__()
        self.got, self.ends, self.slow = [], [], slow
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.settimeout(20)
            if self.slow:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            self.got.append(bytearray())
            self.ends.append(None)
            threading.Thread(target=self._serve, args=(peer, len(self.got) - 1), daemon=True).start()

    def _serve(self, peer, number):
        rest = b""
        try:
            while data := peer.recv(64 << 10):
                if self.slow:
                    time.sleep(0.005)
                self.got[number] += data
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    peer.sendall(b"ok " + line[-16:] + b"\n")
            self.ends[number] = "fin"
        except ConnectionError:
            self.ends[number] = "reset"
        peer.close()

    def wait(self, count=1):
        processes.wait_until(lambda: len(self.ends) >= count and all(self.ends), 20, "the connections' ends")
        return [bytes(got) for got in self.got]

    def close(self):
        faults.stop_accepting(self.listener, self.thread)


@pytest.fixture
def taped(scratch):
    """Two sessions that ask and are answered, line by line."""
    tape = Tape()
    for number in range(2):
        said, at = [], 0
        for word in (b"hello old friend", b"and %d more of old" % number, b"bye"):
            at += SECOND // 100
            said += [(at, "client", word + b"\n"), (at + SECOND // 200, "server", b"ok " + word[-16:] + b"\n")]
        tape.talk(number * SECOND // 50, said)
    return tape.write(scratch / "taped.pcapng")


HELLO, MORE, BYE = b"hello old friend\n", b"and %d more of old\n", b"bye\n"


def sent(number):
    return HELLO + MORE % number + BYE


@pytest.mark.parametrize("level", ["causal", "bytes"])
def test_a_plug_in_that_only_looks(taped, swap, scratch, level):
    with Lines() as server:
        played = replay(taped, server.address, scratch, "--level", level, "--plugin", swap, "--copies", "2", "--loop",
                        "2", "--plugin-config", f"see={scratch / 'seen'}")
        got = server.wait(8)
    assert played.status == 0 and played.verdicts == {"equal": 8}, played.explain()
    assert sorted(got) == sorted([sent(0), sent(1)] * 4)
    assert played.outcome["pieces_replaced"] == played.outcome["plugin_ended"] == 0
    seen = [line.split() for line in (scratch / "seen").read_text().splitlines()]
    keys = {session["id"] for session in played.sessions}
    assert len(seen) == 24 and {line[0] for line in seen} == keys and {line[1] for line in seen} == {server.address}
    for key in keys:
        for copy in range(4):
            mine = [(int(length), int(offset)) for one, _, side, length, offset, which in seen
                    if one == key and int(which) == copy and side == "0"]
            assert mine[0] == (17, 0) and mine[1][1] == 17 and mine[2][1] == 17 + mine[1][0]


@pytest.mark.parametrize("level", ["causal", "bytes"])
@pytest.mark.parametrize("speed", ["1x", "max"])
def test_what_is_put_out_goes_instead(taped, swap, scratch, level, speed):
    """Replies are waited for and compared as ever: those that say something else now are different. A value is itself,
    whatever YAML would make of it."""
    new = "it's: # *brand* %new {"
    with Lines() as server:
        played = replay(taped, server.address, scratch, "--level", level, "--speed", speed, "--plugin", swap,
                        "--record", scratch / "again", "--plugin-config", "how=replace",
                        "--plugin-config", "to=" + new)
        got = server.wait(2)
    assert sorted(got) == sorted(sent(number).replace(b"old", new.encode()) for number in range(2))
    assert played.status == 1 and played.verdicts == {"different": 2}, played.explain()
    assert played.outcome["pieces_replaced"] == 4 and played.outcome["chunks_sent"] == 6
    assert played.outcome["bytes_sent"] == sum(map(len, got))
    assert all(row["pieces_replaced"] == 2 and row["chunks_unsent"] == 0 for row in played.sessions)
    assert played.outcome["timeouts"] == 0
    if level == "causal":  # the turn behind the difference is in step again
        assert played.outcome["replies"] == 6 and played.outcome["replies_equal"] == 2, played.outcome
    recorded = Store(scratch / "again")
    assert sorted(recorded.payload(one.id, "client") for one in recorded.sessions()) == sorted(got)
    assert "4 pieces replaced by the plug-in" in played.output


def test_replies_that_stay_the_same_are_equal(taped, swap, scratch):
    with Lines() as server:
        played = replay(taped, server.address, scratch, "--plugin", swap, "--plugin-config", "how=replace",
                        "--plugin-config", "from=hello", "--plugin-config", "to=well, hello")
        got = server.wait(2)
    assert played.status == 0 and played.verdicts == {"equal": 2}, played.explain()
    assert sorted(got) == sorted(sent(number).replace(b"hello", b"well, hello") for number in range(2))
    assert played.outcome["pieces_replaced"] == 2


@pytest.mark.parametrize("level", ["causal", "bytes"])
def test_much_more_than_a_slow_server_takes_at_once(taped, swap, scratch, level):
    """What the socket has no room for goes later, and the plug-in is asked once."""
    (scratch / "swap.yaml").write_text(f"# a file\nhow: grow\nsee: {scratch / 'seen'}\n")
    with Lines(slow=True) as server:
        played = replay(taped, server.address, scratch, "--level", level, "--plugin", swap, "--plugin-config",
                        scratch / "swap.yaml")
        got = server.wait(2)
    zeros = bytes(600 << 10)
    wanted = [b"".join(zeros + line for line in (HELLO, MORE % number, BYE)) for number in range(2)]
    if level == "causal":
        assert sorted(got) == sorted(wanted)
    else:  # who waits for no reply may leave before the last of it is read
        assert all(any(whole.startswith(one) for whole in wanted) and len(one) > 2 * len(zeros) for one in got)
    assert len((scratch / "seen").read_text().splitlines()) == played.outcome["pieces_replaced"] == 6
    assert played.outcome["bytes_sent"] == sum(map(len, wanted)) and played.outcome["chunks_sent"] == 6


def test_a_piece_may_go_as_nothing(taped, swap, scratch):
    """Then nothing answers it: the next one that waits for that does so until its time is over."""
    with Lines() as server:
        played = replay(taped, server.address, scratch, "--plugin", swap, "--plugin-config", "how=nothing",
                        "--plugin-config", "at=30", "--reply-timeout", "300ms")
        got = server.wait(2)
    assert sorted(got) == [HELLO + MORE % 0, HELLO + MORE % 1] and server.ends == ["fin", "fin"]
    assert played.verdicts == {"different": 2} and played.outcome["pieces_replaced"] == 2, played.explain()


@pytest.mark.parametrize("level", ["causal", "bytes"])
@pytest.mark.parametrize("how, end", [("close", "fin"), ("reset", "reset"), ("hold", "fin"), ("flood", "reset")])
def test_the_plug_in_ends_the_session(taped, swap, scratch, level, how, end):
    """What was still to come is no difference: it was the plug-in's wish."""
    with Lines() as server:
        played = replay(taped, server.address, scratch, "--level", level, "--plugin", swap, "--plugin-config",
                        f"how={how}", "--plugin-config", "at=17", "--record", scratch / "again")
        got = server.wait(2)
    assert got == [HELLO, HELLO] and server.ends == [end, end]
    assert played.status == 0 and played.verdicts == {"equal": 2}, played.explain()
    assert played.outcome["plugin_ended"] == 2 and played.outcome["chunks_sent"] == 2
    assert played.outcome["chunks_unsent"] == 4 and played.outcome["timeouts"] == 0
    assert "2 sessions ended by it" in played.output
    assert ("verdict that cannot be there" in played.errors) == (how == "hold")
    assert ("this one holds" in played.errors) == (how == "hold")
    closes = {one["close"] for one in Store(scratch / "again").sessions()}
    assert closes == {"client-reset" if end == "reset" else "client-fin"}


def test_what_is_wrong_is_said_before_anything_is_sent(taped, swap, scratch):
    events = pathlib.Path(os.path.realpath(program())).parent / "plugins/events/events.so"

    def refused(*words, status=3):
        with faults.Upstream() as server:
            played = replay(taped, server.address, scratch, *words)
            server.listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.listener.accept()
        assert played.status == status
        return played.errors
    assert "plug-in events has no replay_send" in refused("--plugin", events)
    assert "nowhere.so" in refused("--plugin", scratch / "nowhere.so")
    assert "plugin-config:1:6: " in refused("--plugin", swap, "--plugin-config", "how=fast", status=2)
    assert "plugin-config:2:" in refused("--plugin", swap, "--plugin-config", "at=1", "--plugin-config", "x=1",
                                         status=2)
    assert "--plugin is given twice" in refused("--plugin", swap, "--plugin", swap, status=2)
    assert "cannot write /nowhere" in refused("--plugin", swap, "--plugin-config", "see=/nowhere/at/all")
    assert "--plugin-config without --plugin" in refused("--plugin-config", "how=pass", status=2)
    assert "cannot read" in refused("--plugin", swap, "--plugin-config", scratch / "nowhere.yaml", status=2)
