# SPDX-License-Identifier: Apache-2.0
"""Torture of plug-ins: the Nth allocation or system call fails while they are loaded at start, or by a reload (see
test_torture.py for how a finding is repeated)."""
import contextlib
import json
import os
import pathlib

import pytest

import processes
import test_torture
from gogetway import ROOT, SIDES, Gateway, program, tool
from plugging import Kit
from test_torture import Place, count_of_start, preload, ring_dir, start_with_fault  # noqa: F401 (fixtures)
from torture import KINDS, Talk, Upstream, in_parallel, recording_faults, sample

pytestmark = [pytest.mark.usefixtures("require_program", "preload"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]
START_MAX, RELOAD_MAX = 24, 24
SINK_FILE = pathlib.Path(os.path.realpath(program())).parent / "plugins/sink-file/sink-file.so"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """(the example, and one with a tick and a directory of notes)"""
    kit = Kit(tmp_path_factory.mktemp("kit"))
    place = pathlib.Path(tmp_path_factory.mktemp("plugins"))
    ticking = kit.table(more=".tick = on_tick, .tick_interval_ns = 5000000").replace(
        "GG_PLUGIN_EXPORT", "static void on_tick(void *self) { (void)self; }\nGG_PLUGIN_EXPORT")
    hello = (ROOT / "examples/plugin-hello.c").read_text()
    return kit.build(place / "hello", hello), kit.build(place / "ticking", ticking)


@pytest.mark.parametrize("kind", KINDS)
def test_start_with_plugins_and_a_failing_call(scratch, ring_dir, libraries, kind):  # noqa: F811
    options = [word for library in libraries for word in ("--plugin", library)]

    def one(at):
        with contextlib.closing(Upstream(test_torture.SMALL)) as up:
            place = Place(scratch, ring_dir, up, f"start-{kind}-{at}", kind, options)
            return [place.text(at, text) for text in start_with_fault(place, at)]

    with contextlib.closing(Upstream(test_torture.SMALL)) as up:
        total = count_of_start(Place(scratch, ring_dir, up, "count", kind, options))
    texts = in_parallel(one, sample(total, START_MAX))
    assert not texts, "\n".join(texts)


class Reloaded(Place):
    """A gateway by a file, which says at first that there is one plug-in, and then more."""

    def __init__(self, scratch, ring_dir, upstream, name, kind, libraries):  # noqa: F811
        super().__init__(scratch, ring_dir, upstream, name, kind)
        self.libraries = libraries
        self.file = self.directory / "gateway.yaml"
        self.options += ["-c", self.file]
        self.write(libraries[:1])

    def write(self, libraries, **config):
        plugins = [{"path": str(library), **({"config": config} if config else {})} for library in libraries]
        self.file.write_text(json.dumps({"plugins": plugins}))


def reload_with_fault(place, at):
    """(what is wrong, how many calls there are)"""
    texts = []
    gateway = Gateway(place.directory / "rec", place.upstream.address, place.listen, place.options, place.directory,
                      place.faults.environment(armed=False))
    with gateway:
        place.write(place.libraries[1:], number=3)
        place.faults.arm(at)
        try:
            reply = gateway.ask("reload")
        except (OSError, ValueError) as error:
            reply = {"ok": False, "error": f"no reply: {error!r}"}
        place.faults.disarm()
        count = place.faults.count
        if not reply["ok"] and place.faults.hits == 0:
            texts.append(f"refused without a fault: {reply}")
        if not reply["ok"] and not reply["error"]:
            texts.append("refused without a reason")
        talk = Talk(place.upstream, at, test_torture.SMALL).run(place.listen)
        if not talk.right():
            texts.append(f"its session is wrong: {talk.said()}")
        if not gateway.process.running():
            return [*texts, f"it is dead: {gateway.process.errors()[-1500:]}"], count
        again = gateway.ask("reload")
        if not again["ok"]:
            texts.append(f"the next reload is refused: {again}")

        def found():
            return [plugin["name"] for plugin in gateway.ask("plugins")["plugins"]] == ["plug"]
        processes.wait_until(found, 10, "one of them loaded, and the other one unloaded")
        status, errors = gateway.stop(20)
        if status != 0:
            texts.append(f"ended with {status}: {errors[-800:]}")
    notes = (gateway.directory / "plugins/plug/notes").read_text().split()[0::2]
    if notes.count("create") != notes.count("destroy"):
        texts.append(f"what was created was not destroyed: {notes}")
    return texts, count


# What the loading of a plug-in asks of the kernel. (Not all that a reload does: the removal of a descriptor from an
# epoll set, say, never fails, and nobody knows what would be to do then.)
@pytest.mark.parametrize("kind", ["memory", "open,openat,fstat,stat,pread,read,close,mkdir,pthread_create"])
def test_reload_with_a_failing_call(scratch, ring_dir, libraries, kind):  # noqa: F811
    def one(at):
        with contextlib.closing(Upstream(test_torture.SMALL)) as up:
            place = Reloaded(scratch, ring_dir, up, f"reload-{at}", kind, libraries)
            return [place.text(at, text) for text in reload_with_fault(place, at)[0]]

    with contextlib.closing(Upstream(test_torture.SMALL)) as up:
        texts, total = reload_with_fault(Reloaded(scratch, ring_dir, up, "count", kind, libraries), 0)
    assert texts == [] and total > 10
    texts = in_parallel(one, sample(total, RELOAD_MAX))
    assert not texts, "\n".join(texts)


# ── Sessions of which a plug-in wants something ──────────────────────────────────────────────────────────────────────

MARK = b"STOP"  # the client says it soon, and the probe looks for it


class Marked(Talk):
    def __init__(self, upstream, index, size, slow=False):
        super().__init__(upstream, index, size, slow)
        self.sent = self.sent[:8] + MARK + self.sent[8 + len(MARK):]


class Replied(Marked):
    """Its client is answered by the plug-in, and the upstream has seen nothing."""

    def __init__(self, upstream, index, size, slow=False):
        super().__init__(upstream, index, size, slow)
        self.answer = b"no, not here\n"

    def right(self):
        return not self.error and bytes(self.received) == self.answer and self.forwarded == b""


class Masked(Marked):
    """Its mark goes on, and the recording has something else of it. There, the last bytes may be left out, for want of
    memory for what the mask keeps back, and then the session ends."""

    def faults(self, recorded):
        if recorded is None:
            return super().faults(recorded)
        if MARK in recorded["client"]:
            return [f"session {self.index}: it is recorded what was masked"]
        unmasked = {**recorded, "client": recorded["client"].replace(b"####", MARK)}
        if self.right():
            return super().faults(unmasked)
        whole = {"client": self.sent, "server": self.answer}
        return [f"session {self.index}: recorded of the {side} what was never sent" for side, said in unmasked.items()
                if not whole[side].startswith(said)]


GATE = {"mode": "gate", "from": "both"}
HOOKED = {
    "count": (Talk, {"mode": "count", "from": "both"}),
    "gated": (Talk, {**GATE, "keep": "16B"}),
    "given back": (Talk, {**GATE, "give_back": "1KiB"}),
    "held": (Marked, {**GATE, "match": MARK.decode(), "verdict": "hold", "resume_tick": True}),
    "throttled": (Talk, {**GATE, "rate": "100KiB"}),
    "replied": (Replied, {**GATE, "match": MARK.decode(), "verdict": "reply", "reply": "no, not here\n"}),
    "diverted": (Marked, {**GATE, "match": MARK.decode(), "verdict": "divert"}),
    "first bytes": (Marked, {"first_bytes": "8B", "first_time": "200ms", "match": MARK.decode(), "tags": ["a-tag"]}),
    "masked": (Masked, {"mode": "mask", "from": "both", "match": MARK.decode(), "keep": "40B"}),
    "rewritten": (Marked, {"from": "both", "find": MARK.decode(), "put": MARK.decode()}),
    "observed": (Talk, {"from": "both"}),
    "to a sink": (Talk, {}),
    "to a sink that may lose": (Talk, {}),
}
PLUGINS = {"masked": "probe-masking", "rewritten": "rewriter", "observed": "observer"}  # the probe, otherwise


def entry_of(way, config):
    """The plug-in's entry in the configuration."""
    if way.startswith("to a sink"):
        return {"path": str(SINK_FILE), "sink": "best-effort" if "lose" in way else "required"}
    return {"path": str(tool(PLUGINS.get(way, "probe") + ".so")), "config": config}


def rewritten_faults(gateway):
    """What goes on instead is the same here, so of each session both recordings are."""
    raw = gateway.export_raw(gateway.directory.parent / "raw-both")
    texts = []
    for session in gateway.sessions():
        if "as_sent_of" not in session:
            continue
        for side in SIDES:
            came, sent = ((file.read_bytes() if file.exists() else b"") for file in
                          (raw / f"{session['as_sent_of']}.{side}", raw / f"{session.id}.{side}"))
            if not came.startswith(sent):
                texts.append(f"{session.id}: {len(sent)} bytes of the {side} were sent, which did not come so")
    return texts


def observed_all(gateway):
    """Whether each stream was shown in order and told its end, and what was not shown was counted."""
    lines = gateway.command("observer", "seen").stdout.decode().splitlines()
    seen = {name: int(value) for name, value in (line.split() for line in lines)}
    assert seen["disorder"] == 0, seen
    return seen["ended"] == seen["streams"] > 0 and seen["received"] + seen["missed"] == seen["total"]


def copied_faults(gateway):
    """The sink's files are the segments in the end, whatever it was not given or could not write at first."""
    copies = gateway.directory / "plugins/sink-file/segments"
    assert gateway.segments()
    return [f"the copy of {segment.name} is not the same" for segment in gateway.segments()
            if not (copies / segment.name).exists() or (copies / segment.name).read_bytes() != segment.read_bytes()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", HOOKED)
def test_hooked_sessions_with_a_failing_call(scratch, ring_dir, kind, way):  # noqa: F811
    talk_of, config = HOOKED[way]
    with contextlib.closing(Upstream(test_torture.SMALL)) as upstream:
        if way in ("diverted", "first bytes"):
            config = {**config, "upstream": upstream.address}
        place = Place(scratch, ring_dir, upstream, f"hooked-{kind}", kind)
        file = place.directory / "gateway.yaml"
        entry = entry_of(way, config)
        file.write_text(json.dumps({"plugins": [entry]}))
        place.options += ["-c", file]
        with place.gateway(place.faults.environment(armed=False)) as gateway:
            assert talk_of(upstream, 0, test_torture.SMALL).run(gateway.listen).right()
            before = gateway.descriptors_open()
            talks, texts = test_torture.rounds(place, gateway, test_torture.SMALL, talk_of=talk_of)
            upstream.settle()
            if gateway.process.running():
                test_torture.no_descriptor_leaks(gateway, before)
                if way == "observed":
                    processes.wait_until(lambda: observed_all(gateway), 10, "all observed, or counted as missed")
            status, errors = gateway.stop()
        assert not texts, "\n".join(texts)
        assert status == 0, errors
        texts = recording_faults(gateway, talks)
        texts += rewritten_faults(gateway) if way == "rewritten" else []
        texts += copied_faults(gateway) if "sink" in entry else []
        assert not texts, "\n".join(texts)
