# SPDX-License-Identifier: Apache-2.0
"""A plan of very many sessions needs little memory, and has every byte of them. (A sanitizer needs memory of its own:
then only the bytes are looked at.)"""
import json
import subprocess

import torture
from gogetway import TEST_ALL, tool

SESSIONS = 1_000_000 if TEST_ALL else 100_000
TOGETHER, ROUNDS = 1000, 2
# What does not depend on the number of sessions (the cache above all), and what does: 256 MiB for a million, together.
FIXED_KIB, SESSION_BYTES = 48 << 10, 218


def digits_of_all(count):
    """How many digits the numbers below `count` (a power of ten) have together."""
    digits, width, begin = 0, 1, 0
    while begin < count:
        end = min(10 ** width, count)
        digits, width, begin = digits + (end - begin) * width, width + 1, end
    return digits


def test_resident_memory(scratch):
    store = scratch / "rec"
    subprocess.run([tool("encode_many"), store, str(SESSIONS), str(TOGETHER), str(ROUNDS)], check=True, timeout=300)
    done = subprocess.run([tool("plan_walk"), store, str(TOGETHER)], check=True, timeout=600, stdout=subprocess.PIPE,
                          env={"TMPDIR": str(scratch)})
    told = json.loads(done.stdout)
    print(told)
    assert told["sessions"] == SESSIONS
    assert told["steps"] == SESSIONS * (2 * ROUNDS + 3)  # and both ends, and that it is over
    texts = len("request  0\n") + len("reply  0\n")
    assert told["bytes"] == ROUNDS * (SESSIONS * texts + 2 * digits_of_all(SESSIONS))
    limit = FIXED_KIB + SESSIONS * SESSION_BYTES // 1024
    assert limit <= 256 << 10
    assert told["peak_kib"] < limit or not torture.preload_works(), \
        f"{told['peak_kib']} KiB for {SESSIONS} sessions, at most {limit}"


def test_one_of_many(scratch):
    """Who looks for one session by its id gets that one, and thousands that are open beside it cost no steps."""
    store = scratch / "rec"
    subprocess.run([tool("encode_many"), store, "20000", "5000", str(ROUNDS)], check=True, timeout=300)
    done = subprocess.run([tool("plan_walk"), store, "1", f"id={1234:024x}"], check=True, timeout=600,
                          stdout=subprocess.PIPE, env={"TMPDIR": str(scratch)})
    told = json.loads(done.stdout)
    assert told["sessions"] == 1 and told["steps"] == 2 * ROUNDS + 3
    assert told["bytes"] == ROUNDS * (len("request  0\n") + len("reply  0\n") + 2 * len("1233"))
    assert told["peak_kib"] < 24 << 10 or not torture.preload_works(), "sessions that cannot match are not gathered"
