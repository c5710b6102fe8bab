# SPDX-License-Identifier: Apache-2.0
"""`gogetway stats` alone: a gateway's counters and what is recorded, with a gateway and without one; and that programs
that ask for one of the two get that and nothing else."""
import json
import os

import pytest

import prometheus
import processes
from faults import Echo
from gogetway import Gateway, Store, tool
from live import listener, said

pytestmark = pytest.mark.usefixtures("require_program")

HINT = "; 'gogetway stats --totals' adds up what is recorded, without one"
ALL_SEGMENTS = "no totals at once without a catalogue: 'gogetway stats --totals' counts them by reading all segments\n"


def stats(store, *words):
    """(exit status, standard output, standard error)"""
    done = store.command("stats", *words, check=False, text=True)
    return done.returncode, done.stdout, done.stderr


def totals(store):
    status, out, errors = stats(store, "--totals")
    assert status == 0 and errors == ""
    return out


def cells(table):
    """{first column: sessions} of a table of totals"""
    return {line.split()[0]: int(line.split()[1]) for line in table.splitlines()[1:]}


def refused(store, hint=""):
    """No gateway runs; returns what is on standard output all the same."""
    status, out, errors = stats(store)
    assert status == 3 and errors.count("\n") == 1, errors
    assert errors.startswith(f"gogetway: no gateway runs on {store.directory}: ") and errors.endswith(f"{hint}\n")
    assert ("--totals" in errors) == bool(hint)
    return out


def wait_recorded(store, count):
    processes.wait_until(lambda: len(store.sessions("state=closed")) == count, 20, f"{count} closed sessions")


def record(gateway, count):
    with gateway:
        for _ in range(count):
            said(gateway.listen)
        wait_recorded(gateway, count)
        gateway.stop()


def test_counters_then_totals(configured, server):
    web, ssh = (listener(server.address, name=name) for name in ("web", "ssh"))
    configured.write(web, ssh)
    configured.start()
    processes.wait_until(lambda: "LISTENER" in stats(configured)[1], 20, "a catalogue")
    status, out, errors = stats(configured)
    assert status == 0 and errors == ""
    assert out.endswith("\n\n" + totals(configured)) and cells(out.split("\n\n")[2]) == {"all": 0}  # of nothing yet
    for address, count in ((web["listen"], 3), (ssh["listen"], 2)):
        for _ in range(count):
            said(address)
    wait_recorded(configured, 5)
    status, out, errors = stats(configured)
    assert status == 0 and errors == ""
    facts, metrics, *tables = out.split("\n\n")
    assert facts.startswith("version ") and "\npid " in facts and "\nsessions_closed " in metrics
    assert [table.split()[0] for table in tables] == ["LISTENER", "PROTOCOL", "HOUR"]
    assert "\n\n".join(tables) == totals(configured)
    assert cells(tables[0]) == {"ssh": 2, "web": 3, "all": 5} and cells(tables[2])["all"] == 5
    assert stats(configured, "--format", "table")[1].split("\n\n")[2:] == tables


def test_programs_get_the_counters_alone(configured, server):
    """No store is opened for them: it may be as large, as broken or as slow as it likes."""
    web = listener(server.address, name="web")
    configured.write(web)
    configured.start()
    said(web["listen"])
    wait_recorded(configured, 1)
    segments, aside = configured.directory / "segments", configured.directory / "aside"
    os.rename(segments, aside)
    try:
        status, out, errors = stats(configured, "--json")
        assert status == 0 and errors == "" and out.count("\n") == 1
        reply = json.loads(out)
        assert set(reply) == set(configured.ask("stats")) and reply["metrics"]["sessions_closed"] == 1
        status, out, errors = stats(configured, "--format", "prometheus")
        assert status == 0 and errors == "" and prometheus.parse(out)
        assert stats(configured, "--format", "config")[::2] == (0, "")
        status, out, errors = stats(configured, "--pid", str(reply["pid"]))
        assert status == 0 and errors == "" and "LISTENER" not in out and "\nsessions_closed " in out
        # Who asks for both is told what is amiss; that the gateway runs is what the exit status says.
        status, out, errors = stats(configured)
        assert status == 0 and "\nsessions_closed " in out and "LISTENER" not in out
        assert errors.startswith("gogetway: ") and errors.count("\n") == 1 and "no gateway" not in errors
    finally:
        os.rename(aside, segments)
    assert "LISTENER" in stats(configured)[1]


def test_totals_without_a_gateway(scratch, server):
    gateway = Gateway(scratch / "rec", server.address, scratch=scratch)
    record(gateway, 4)
    assert refused(gateway) == totals(gateway)
    assert cells(totals(gateway).split("\n\n")[2])["all"] == 4
    status, out, errors = stats(gateway, "--json")  # a program hears that none runs, and where totals are to be had
    assert status == 3 and errors == "" and list(json.loads(out)) == ["ok", "error"]
    assert json.loads(out)["error"].endswith(HINT)
    os.rename(gateway.directory / "segments", gateway.directory / "aside")
    assert refused(gateway, HINT) == ""
    os.rename(gateway.directory / "aside", gateway.directory / "segments")


def test_without_a_catalogue(scratch, server):
    """All segments would have to be read: that is left to who asks for it."""
    gateway = Gateway(scratch / "rec", server.address, scratch=scratch, options=["--catalogue", "off"])
    with gateway:
        said(gateway.listen)
        wait_recorded(gateway, 1)
        status, out, errors = stats(gateway)
        assert status == 0 and errors == "" and out.endswith("\n\n" + ALL_SEGMENTS) and out.startswith("version ")
        gateway.stop()
    assert refused(gateway, HINT) == ""
    gateway.command("reindex")
    assert refused(gateway) == totals(gateway)
    assert cells(totals(gateway).split("\n\n")[0])["all"] == 1
    (gateway.directory / "catalogue.db").write_bytes(b"this is no database, though it is as long as one" * 100)
    assert refused(gateway, HINT) == ""


def test_what_the_gateway_says_wrong_is_told_before_the_totals(scratch):
    """Also where somebody else listens at the socket."""
    with Echo() as server:
        gateway = Gateway(scratch / "rec", server.address, scratch=scratch)
        record(gateway, 1)
    with Echo(f"unix:{gateway.directory}/control"):
        status, out, errors = stats(gateway)
    assert status == 3 and errors.startswith("gogetway: ") and errors.count("\n") == 1 and out == totals(gateway)


def test_the_latest_hours(scratch):
    """Of many hours the last are shown, and how many more there are."""
    made = scratch / "rec"
    processes.run([tool("encode_many"), made, "2000", "10", "1", "varied", str(20 * 10 ** 9)])
    store = Store(made)
    assert refused(store, HINT) == ""
    store.command("reindex")
    out = refused(store)
    hours = out.split("\n\n")[2].splitlines()
    every = store.command("stats", "--totals", "--by", "hour", "--json").stdout.splitlines()
    assert out == totals(store) and len(hours) == 1 + 1 + 24 + 1
    assert hours[1] == f"({len(every) - 24} earlier: gogetway stats --totals --by hour)"
