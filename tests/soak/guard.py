# SPDX-License-Identifier: Apache-2.0
"""Whatever way a soak ends, also by SIGKILL, nothing of it stays: no process, no mount, no file.

    guard ──fork──► soak ──► gateways, servers, clients, strace, ...
      │               │
      │               └ dies: its children become the guard's, who is their subreaper, and ends them
      └ dies: the soak is told to end (PR_SET_PDEATHSIG), and cleans up itself

The guard has the terminal: Ctrl-C is not for the gateways, which would end too, but is passed on to the soak alone.
"""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import traceback

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ROUNDS_MAX = 1000  # of ending children, whose children become ours


def prctl(option, value):
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def children():
    """Processes that have this one as their parent."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                fields = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.append(int(name))
    return found


def end_children():
    for _ in range(ROUNDS_MAX):
        found = children()
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def mounts_below(directory):
    """The innermost first."""
    with open("/proc/self/mounts") as file:
        places = [line.split()[1] for line in file]
    return sorted((place for place in places if place.startswith(f"{directory}/")), reverse=True)


def clean(scratch, keep):
    for place in mounts_below(scratch):  # who writes to a frozen disk cannot be ended
        subprocess.run(["fsfreeze", "-u", place], stderr=subprocess.DEVNULL, check=False)
    end_children()
    for place in mounts_below(scratch):
        subprocess.run(["umount", "-l", place], check=False)
    if (scratch / "rings").is_symlink():
        shutil.rmtree((scratch / "rings").resolve(), ignore_errors=True)
    if not keep:
        shutil.rmtree(scratch, ignore_errors=True)


def run(work, scratch, keep):
    """work() in a process of its own; its exit status."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == guard:  # else it died before it could be told
                status = work()
        except BaseException:  # nothing below this frame may go on in a second process
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(pid, signal.SIGTERM))
    try:
        while True:
            ended, status = os.waitpid(-1, 0)
            if ended == pid:
                break
    finally:
        clean(scratch, keep)
    status = os.waitstatus_to_exitcode(status)
    if status < 0:
        print(f"the soak was ended by signal {-status}", file=sys.stderr)
    return status if status >= 0 else 1
