# SPDX-License-Identifier: Apache-2.0
"""Hot restarts, and what goes wrong while two processes are at work on one store.

    old   ──── serves ────┬── drains ────────────────┤ ends, at the deadline at the latest
    new        starts ────┤ serves ────────────────────────────────────────────────────
                       handed over

What a client may see, and nothing else:

    takeover              nothing, but who is still with the old process at its deadline
    overlap-kill-old      nothing, but who is with the old process when it is killed
    overlap-kill-taker    nothing at all: it is killed before anything was handed over
    overlap-reload        as with takeover; the old process refuses to reload, and says so
    overlap-disk-full     as with takeover, or as with overlap-kill-old; and what a full disk does to its listener
"""
import contextlib
import dataclasses
import signal
import time

import faults
import processes

DRAIN_SECONDS = 8
RECOVERY_SECONDS = 60   # the disk may be full for a while, and is tried every five
MOMENT_SECONDS = 0.06   # in which most takers have not handed over yet
TRIES = 5
EXIT = "a process that is told to end ends with status 0, in time"
LEFT = "what a killed process left is written by the one that took over"
UNCHANGED = "a taker that is killed before it serves changes nothing"
REFUSED = "who was taken over from does not reload"


@dataclasses.dataclass
class Overlap:
    old: object
    new: object
    began: float
    served: float         # who came after this is the new one's
    killed: bool = False  # the old one, by us


class Overlaps:
    """Events of the track of the process; what they use is events.Events'."""

    @contextlib.contextmanager
    def overlap(self):
        """In here two processes are at work; afterwards the old one has ended, and what it left is written."""
        with self.instance.lock:
            began, old = time.monotonic(), self.instance.current
            window = self.windows.open("takeover", deadline=began + DRAIN_SECONDS)
            try:
                new = self.instance.start(words=["--takeover"], took_over=True)
                window.detail = time.monotonic()
                overlap = Overlap(old, new, began, window.detail)
                try:
                    yield overlap
                finally:
                    self.end_old(overlap)
            finally:
                window.end = time.monotonic() + 0.2

    def end_old(self, overlap):
        old = overlap.old
        try:
            status = old.process.wait(DRAIN_SECONDS + 30)
            if overlap.killed:
                with self.checks.no_exception(LEFT):
                    self.await_recovery(old, overlap.new)
        finally:
            self.instance.end(old, "kill" if overlap.killed else "takeover")
        full = self.windows.overlapping(overlap.began - 15, time.monotonic(),
                                        kinds=("disk-full", "disk-hang", "disk-slow"))
        fine = status == (-signal.SIGKILL if overlap.killed else 0) or status == 3 and full
        self.checks.judge(EXIT, [] if fine else [
            f"{self.site.name}: status {status} of who was taken over from\n{old.process.errors()[-1500:]}"])

    def await_recovery(self, old, new):
        def ended():
            assert new.process.running(), f"it ended:\n{new.process.errors()[-1500:]}"
            return [line for line in self.instance.messages(new)
                    if line["event"] == "earlier process ended" and line["pid"] == old.pid]
        processes.wait_until(ended, RECOVERY_SECONDS, f"{self.site.name}: process {old.number} is recovered",
                             interval=0.1)

    def kill_old(self, overlap):
        window = self.windows.open("overlap-kill", detail=overlap.served)
        overlap.killed = overlap.old.process.kill() == -signal.SIGKILL  # else it had ended already
        window.end = time.monotonic() + 0.2

    # ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────

    def takeover(self, _):
        """A new process has the listeners, the old one ends when its sessions have."""
        with self.overlap():
            pass

    def overlap_kill_old(self, chance):
        with self.overlap() as overlap:
            faults.sleep_to_a_random_moment(chance, 1.5)
            self.kill_old(overlap)

    def overlap_reload(self, chance):
        """The new process takes a good file and refuses a broken one; the old one refuses any."""
        with self.overlap() as overlap, self.windows.during("reload"):
            try:
                self.instance.write_config(sessions_max="a few")
                self.ask_to_reload(False)
                self.instance.write_config(sessions_max=chance.randrange(20000, 40000))
                self.ask_to_reload(True)
                self.hang_up(overlap.old)
            finally:
                self.instance.write_config()
            self.ask_to_reload(True)

    def hang_up(self, old):
        if not old.process.running():
            return
        old.process.popen.send_signal(signal.SIGHUP)

        def refused():
            return not old.process.running() or any(
                line["event"] == "not reloaded" for line in self.instance.messages(old))
        with self.checks.no_exception(REFUSED):
            processes.wait_until(refused, 10, f"{self.site.name}: process {old.number} refuses")
            assert not any(line["event"] == "reloaded" for line in self.instance.messages(old)[-2:])

    def overlap_disk_full(self, chance):
        """Neither of the two can write; and in half of the cases the old one dies with what it has. Without a disk that
        can be filled it may die all the same."""
        full = self.full_disk(chance) if self.site.disk else contextlib.nullcontext()
        with self.overlap() as overlap, full:
            if chance.random() < 0.5:
                self.kill_old(overlap)
            self.pause(chance.uniform(0.5, 3))

    def overlap_kill_taker(self, chance):
        """It is stopped at a random moment; whether it has handed over is then asked, and only if not it is killed."""
        with self.instance.lock, self.windows.during("taker-killed", after=1.0):
            for _ in range(TRIES):
                taker = self.instance.begin(["--takeover"], took_over=True)
                faults.sleep_to_a_random_moment(chance, MOMENT_SECONDS)
                taker.process.popen.send_signal(signal.SIGSTOP)
                if self.has_handed_over():
                    self.go_on(taker)
                    return
                taker.process.kill()
                told = self.instance.ask("stats")
                problems = [] if told and (told["pid"], told["state"]) == (self.instance.current.pid, "running") else [
                    f"{self.site.name}: process {self.instance.current.number}: {str(told)[:300]}"]
                self.checks.judge(UNCHANGED, problems)
                if chance.random() < 0.5:
                    break
        self.takeover(chance)  # who comes next finds nothing in its way, and clears what the dead one left

    def has_handed_over(self):
        """Who runs has another name as soon as it has read that it is taken over; and it reads in the order in which
        others speak, so after this answer it has read all that the taker said."""
        old = self.instance.current
        assert self.instance.ask("stats"), f"{self.site.name}: process {old.number} does not answer"
        return (self.instance.directory / f"control.{old.pid}").exists()

    def go_on(self, taker):
        """It was too late: a takeover as any other."""
        began, old = time.monotonic(), self.instance.current
        window = self.windows.open("takeover", deadline=began + DRAIN_SECONDS)
        self.instance.generations.append(taker)
        taker.process.popen.send_signal(signal.SIGCONT)
        try:
            self.instance.wait_ready()
            window.detail = time.monotonic()
            self.end_old(Overlap(old, taker, began, window.detail))
        finally:
            window.end = time.monotonic() + 0.2
