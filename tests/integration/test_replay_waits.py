# SPDX-License-Identifier: Apache-2.0
"""Never early, never stuck: servers that take their time, say more or less than they did, or do not do at all what is
waited for; and a replay that is stopped in the middle and meets its times again."""
import os
import signal
import statistics
import time

import pytest

import processes
import replaying
from gogetway import TEST_ALL
from replaying import SECOND, Server, Tape, replay

MIB = 1 << 20
CLIENTS, STEPS = 50, 20  # a thousand dependent steps
POLICIES = ("continue", "stop-session", "stop")


# ---- Never early -----------------------------------------------------------------------------------------------------
def played_steps(gateways, scratch, form, **live):
    """Recorded from a quick server, played to one that is slow and says something else: what that one saw."""
    varied = 30 if form == "free" else 0  # else their length would be learned
    with Server(scratch, "steps", form=form, seed=1, stretch=varied) as quick:
        names = [b"%d" % number for number in range(CLIENTS)]
        count = STEPS if form != "free" else STEPS // 2
        recorded = replaying.record(gateways, quick.address, [replaying.talk_steps(name, count, form)
                                                              for name in names])
    with Server(scratch, "steps", form=form, seed=2, **live) as slow:
        played = replay(recorded.directory, slow.address, scratch, "--speed", "max", seconds=100)
        assert played.outcome["connections_made"] == CLIENTS, played.explain()
        assert played.outcome["timeouts"] == 0 and played.outcome["chunks_unsent"] == 0, played.explain()
        seen = slow.wait_done(CLIENTS)
    replies = sum(one["replies"] for one in seen)
    assert replies == CLIENTS * count, f"{replies} steps came"
    early = sum(one["early"] for one in seen)
    released = {name: count for name, count in played.outcome["released"].items() if count}
    print(f"{form}: {early} of {replies} early; released by", released)
    return played, early, replies


@pytest.mark.parametrize("stretch", [0, 50])
def test_a_learned_end_is_never_early(gateways, scratch, stretch):
    """Delays of up to 300 ms, replies in three parts, others than recorded, and up to 50 % longer or shorter."""
    played, early, _ = played_steps(gateways, scratch, "prompt", delay=300 if TEST_ALL or stretch else 60, pause=60,
                                    stretch=stretch)
    assert early == 0
    released = played.outcome["released"]
    assert released["terminator"] + released["decoder"] == CLIENTS * (STEPS - 1)
    assert released["terminator"] >= CLIENTS  # at the first prompt nobody knows yet that it is one
    assert played.status == 1 and played.verdicts == {"different": CLIENTS}


def test_a_learned_length_is_never_early(gateways, scratch):
    played, early, _ = played_steps(gateways, scratch, "length", delay=100, pause=60)
    assert early == 0
    assert played.outcome["released"]["length"] > 0


def test_replies_that_are_longer_than_a_learned_length(gateways, scratch):
    """What nobody can know: that there is more of a reply than there ever was. How often this is met is printed."""
    played, early, replies = played_steps(gateways, scratch, "length", delay=100, pause=60, longer=50)
    print(f"half as long again, in two pieces, where a length was learned: {early / replies:.1%} early")
    assert played.outcome["released"]["length"] > 0 and played.verdicts == {"different": CLIENTS}


@pytest.mark.parametrize("pause", [8, 60])
def test_replies_without_an_end_are_over_by_silence(gateways, scratch, pause):
    """Nothing can be learned here: pauses that are shorter than the silence do no harm, longer ones do."""
    played, early, replies = played_steps(gateways, scratch, "free", delay=100, pause=pause, stretch=50)
    print(f"pauses of up to {pause} ms, and no end to be learned: {early / replies:.1%} early")
    assert played.outcome["released"]["silence"] > 0
    if pause == 8:
        assert early <= replies // 10  # only a scheduler that pauses the server can make it early


# ---- Never stuck -----------------------------------------------------------------------------------------------------
@pytest.fixture
def three_steps(scratch):
    """Four clients that ask three times; a tape, so that nothing is recorded for it each time."""
    tape = Tape()
    for number in range(4):
        said = [(n * SECOND // 100, side, b"%s %d\n" % (side.encode(), n)) for n in range(3)
                for side in ("client", "server")]
        tape.talk(number * SECOND // 100, said, end_ns=SECOND // 20)
    return tape.write(scratch / "steps.pcapng")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_reply_that_never_comes(scratch, three_steps, policy):
    with Server(scratch, "silent") as server:
        played = replay(three_steps, server.address, scratch, "--reply-timeout", "300ms", "--on-timeout", policy,
                        seconds=20)
    assert played.status == 1 and played.seconds < 10, played.explain()
    assert played.outcome["timeouts"] >= 1
    if policy == "continue":
        assert played.outcome["chunks_sent"] == 12 and played.outcome["released"]["timeout"] == 8
    else:
        assert played.outcome["chunks_sent"] <= 4 and played.outcome["chunks_unsent"] >= 2
    assert played.outcome["partial"] == (policy == "stop")
    kinds = {row["difference"]["kind"] for row in played.different()}
    assert "timeout" in kinds and kinds <= {"timeout", "shorter", "closed", "not-closed"}, kinds


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("level", ["causal", "bytes"])
def test_a_server_that_closes(scratch, three_steps, policy, level):
    with Server(scratch, "closing") as server:
        played = replay(three_steps, server.address, scratch, "--reply-timeout", "1s", "--on-close", policy, "--level",
                        level, seconds=20)
    assert played.status == 1 and played.seconds < 15, played.explain()
    assert played.outcome["closed_early"] >= 1
    assert played.outcome["partial"] == (policy == "stop")
    assert all(row["difference"]["kind"] in ("closed", "reset", "shorter") for row in played.different())


def test_a_server_that_refuses(scratch, three_steps):
    nobody = processes.address("127.0.0.1", processes.free_port())
    played = replay(three_steps, nobody, scratch, seconds=20)
    assert played.status == 3 and played.seconds < 10
    assert f"no connection to {nobody} could be made" in played.errors
    assert played.outcome["connections_refused"] == 4 and played.outcome["connections_made"] == 0
    assert {row["difference"]["kind"] for row in played.different()} == {"refused"}


@pytest.mark.parametrize("level", ["causal", "bytes"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_server_that_floods(scratch, three_steps, policy, level):
    with Server(scratch, "flood") as server:
        played = replay(three_steps, server.address, scratch, "--reply-timeout", "500ms", "--on-timeout", policy,
                        "--level", level, seconds=20)
    assert played.status == 1 and played.seconds < 15, played.explain()
    assert played.memory_bytes < 64 * MIB, f"{played.memory_bytes >> 20} MiB"
    assert played.outcome["bytes_received"] > 0


# ---- Time ------------------------------------------------------------------------------------------------------------
TICK_NS, TICKS = SECOND // 10, 45


def ticking(scratch, ticks=TICKS):
    """One client that speaks every 100 ms without waiting, and one new client every 100 ms that asks once."""
    tape = Tape()
    for number in range(ticks):
        tape.talk(number * TICK_NS + TICK_NS // 2, [(0, "client", b"once\n"), (SECOND // 1000, "server", b"ok\n")],
                  end_ns=SECOND // 500)
    tape.talk(0, [(number * TICK_NS, "client", b"tick\n") for number in range(ticks)])
    return tape.write(scratch / "ticking.pcapng")


def tick_errors(server, period_ns, ticks=TICKS):
    """Nanoseconds by which each tick was late or early, measured from the median."""
    (ticker,) = [one["ticks_ns"] for one in server.wait_done(ticks + 1) if len(one["ticks_ns"]) > 1]
    assert len(ticker) == ticks, "ticks came together or not at all"
    errors = [time_ns - number * period_ns for number, time_ns in enumerate(ticker)]
    middle = statistics.median(errors)
    return [error - middle for error in errors]


@pytest.mark.parametrize("level", ["causal", "bytes"])
def test_after_a_pause_of_the_whole_process_deadlines_are_met_again(scratch, level):
    recording = ticking(scratch)
    with Server(scratch, "ticks") as server:
        with replaying.Replay(recording, server.address, scratch, "--level", level, "--speed", "1x") as running:
            processes.wait_until(lambda: len(server.done()) >= 8, 20, "the first sessions")
            os.kill(running.pid, signal.SIGSTOP)
            try:
                time.sleep(2)  # the test's input, not a wait for anything
            finally:
                os.kill(running.pid, signal.SIGCONT)
            played = running.finish(30)
        errors = tick_errors(server, TICK_NS)
    assert played.outcome["connections_made"] == TICKS + 1, played.explain()
    late = [error for error in errors if error > SECOND // 4]
    assert 10 <= len(late) <= 20 and max(errors) > 1.2 * SECOND, "the pause does not show"
    # Those that were due in it went at once, and all behind them at their times.
    assert all(abs(error) < SECOND // 4 for error in errors[-10:]), errors[-10:]
    assert played.outcome["lag"]["max_ns"] > 1.5 * SECOND, played.outcome["lag"]
    assert played.outcome["latency"]["max_ns"] > 1.5 * SECOND, played.outcome["latency"]
    assert played.outcome["lag"]["p50_ns"] < SECOND // 10, played.outcome["lag"]


def test_times_do_not_drift_on_the_real_clock(scratch):
    """10 s, or two minutes of them: at their end the server sees them no later than at their beginning. Single ones may
    be late on a machine that has other work; the one of a tenth of them that is latest by least is not."""
    speed, ticks = 0.15 if TEST_ALL else 1.8, 180
    period_ns = TICK_NS / speed
    with Server(scratch, "ticks") as server:
        played = replay(ticking(scratch, ticks), server.address, scratch, "--speed", f"{speed}x", "--level", "bytes",
                        seconds=200)
        errors = tick_errors(server, period_ns, ticks)
    lag = played.outcome["lag"]
    print("send lag, us:", {name: value // 1000 for name, value in lag.items() if name.endswith("_ns")})
    print("ticks late, us, first and last five:", [round(error / 1000) for error in errors[:5] + errors[-5:]])
    assert played.status == 1 or played.verdicts == {"equal": ticks + 1}
    drift = min(errors[-ticks // 10:]) - min(errors[:ticks // 10])
    print(f"{drift / 1e6:.3f} ms later in the last tenth than in the first")
    assert abs(drift) < SECOND // 200, f"{drift / 1e6:.3f} ms of drift"
    assert max(errors) < SECOND // 4 and lag["count"] >= 2 * ticks and lag["p50_ns"] < SECOND // 20
