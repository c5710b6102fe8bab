# SPDX-License-Identifier: Apache-2.0
"""What a soak keeps books of: the checks it makes, and when which disturbance was.

A check has a name; each time it is made it is counted, and what it finds is kept with the time. A window is a
disturbance from its beginning, noted before it is caused, to the moment from which on nothing excuses an error.
"""
import collections
import contextlib
import dataclasses
import itertools
import threading
import time

BROKEN_MAX = 200  # texts that are kept; all are counted


class Checks:
    def __init__(self):
        self.lock = threading.Lock()
        self.begun = time.monotonic()
        self.made = collections.Counter()
        self.broken = []
        self.broken_count = 0

    def judge(self, name, problems, count=1):
        """A check was made `count` times, and found these texts."""
        problems = list(problems)
        with self.lock:
            self.made[name] += count
            self.broken_count += len(problems)
            for text in problems[:max(0, BROKEN_MAX - len(self.broken))]:
                self.broken.append({"second": round(time.monotonic() - self.begun, 1), "check": name, "text": text})

    @contextlib.contextmanager
    def no_exception(self, name):
        """A check that is made by doing something that must succeed."""
        try:
            yield
        except Exception as error:  # whatever it is, it is a finding, and the soak goes on
            self.judge(name, [f"{type(error).__name__}: {error}"[:1500]])
        else:
            self.judge(name, [])

    def as_rows(self):
        with self.lock:
            found = collections.Counter(entry["check"] for entry in self.broken)
            return [{"check": name, "made": self.made[name], "broken": found[name]} for name in sorted(self.made)]


@dataclasses.dataclass
class Window:
    kind: str
    scope: str  # a listener's name; "": all of them
    begin: float
    end: float = float("inf")
    deadline: float = float("inf")  # a drain's: sessions that are open then are cut
    detail: object = None           # what it is that is different


class Windows:
    """The disturbances of one gateway."""

    def __init__(self):
        self.lock = threading.Lock()
        self.windows = []

    def open(self, kind, scope="", deadline=float("inf"), detail=None):
        window = Window(kind, scope, time.monotonic(), deadline=deadline, detail=detail)
        with self.lock:
            self.windows.append(window)
        return window

    @staticmethod
    def close(window):
        window.end = time.monotonic()

    @contextlib.contextmanager
    def during(self, kind, scope="", after=0.0, detail=None):
        """`after`: how long its traces are still to be expected."""
        window = self.open(kind, scope, detail=detail)
        try:
            yield window
        finally:
            window.end = time.monotonic() + after

    def overlapping(self, begin, end, scope=None, kinds=None):
        """The windows that touch [begin, end]; of all listeners when `scope` is None."""
        with self.lock:
            return [window for window in self.windows if window.begin <= end and window.end >= begin and
                    (scope is None or window.scope in ("", scope)) and (kinds is None or window.kind in kinds)]


class Numbers:
    """Indices that are never given out twice."""

    def __init__(self):
        self.counter = itertools.count(1)

    def next(self):
        return next(self.counter)
