# SPDX-License-Identifier: Apache-2.0
"""Fixtures. Nothing is built here; see gogetway.py for the environment variables."""
import collections
import contextlib
import os
import pathlib
import re
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

os.umask(os.umask(0o022) | 0o022)  # the gateway refuses plug-ins that others can write

import faults  # noqa: E402
import gogetway  # noqa: E402
import live  # noqa: E402
import prometheus  # noqa: E402
import scripting  # noqa: E402
import upstream_lists  # noqa: E402


def pytest_report_header():
    return f"gogetway: {gogetway.program()}, {'everything' if gogetway.TEST_ALL else 'normal size'}"


def remove_rings(directory):
    """A killed gateway leaves its rings for the next start; after a test there is none."""
    for file in directory.rglob("store"):
        found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", file.read_text()) if file.is_file() else None
        for ring in pathlib.Path("/dev/shm").glob(f"gogetway-{found.group()}.*") if found else ():
            ring.unlink(missing_ok=True)


@pytest.fixture
def scratch():
    """A directory of this test's own with a short path (unix sockets), kept if GOGETWAY_TEST_KEEP is set."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gogetway-test-"))
    os.chmod(directory, 0o755)
    yield directory
    remove_rings(directory)
    if not os.environ.get("GOGETWAY_TEST_KEEP"):
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def rings():
    """A tmpfs directory of this test's own for the rings (--log-dir): what a killed gateway leaves goes with it."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gogetway-test-", dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def require_program():
    if not os.access(gogetway.program(), os.X_OK):
        pytest.fail(f"{gogetway.program()} is not there: build it, or set GOGETWAY")


@pytest.fixture
def server():
    """An upstream that sends back what comes."""
    with faults.Echo() as echo:
        yield echo


@pytest.fixture
def servers():
    """servers("a", "b", ...): started ones of these names."""
    made = []

    def make(*names, **more):
        made.extend(upstream_lists.Server(name, **more).start() for name in names)
        return made[-len(names):]
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def silent():
    """A TCP address that never answers."""
    with faults.silent_address() as address:
        yield address


@pytest.fixture
def configured(scratch):
    """A gateway with a configuration file, not started yet."""
    with live.Configured(scratch) as gateway:
        yield gateway


@pytest.fixture
def scripted(configured):
    """Gateways with one listener and a script."""
    def make(to, text, **more):
        return scripting.Scripted(configured, to, text, **more)
    return make


looked_at = collections.Counter()  # gateways whose totals were compared, and those that were not, by the reason


def pytest_sessionfinish(session):
    """A worker of pytest-xdist tells the one who reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["looked_at"] = [[why, count] for why, count in looked_at.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    looked_at.update(dict(getattr(node, "workeroutput", {}).get("looked_at", ())))


def pytest_terminal_summary(terminalreporter):
    if looked_at:
        compared = looked_at.pop(None, 0)
        terminalreporter.write_line(f"metric totals are the recording's: {compared} gateways" + "".join(
            f"; {count} not compared: {why}" for why, count in sorted(looked_at.items())))


@pytest.fixture
def totals():
    """Gateways whose metrics are what the recording holds, when the test has ended: totals[gateway] = the file that it
    writes its metrics to. A gateway with another beside or before it on its store does not belong here."""
    to_check = {}
    yield to_check
    for gateway, file in to_check.items():
        looked_at[prometheus.check_ended(gateway, file)] += 1


@pytest.fixture
def gateways(scratch, require_program, totals):
    """Makes started gateways: gateways(upstream, listen=..., options=[...]). All are ended after the test, and the
    metrics of those with a store of their own are then what the recording holds."""
    shared = set()
    with contextlib.ExitStack() as stack:
        count = 0

        def start(upstream, listen=None, options=(), directory=None, **more):
            nonlocal count
            count += 1
            place = scratch / f"gateway-{count}"
            place.mkdir()
            options = list(options)
            if directory is None and "--metrics-file" not in options:
                options += ["--metrics-file", place / "gogetway.prom", "--metrics-interval", "1d"]
            gateway = gogetway.Gateway(directory or place / "rec", upstream, listen, options, scratch=place, **more)
            stack.enter_context(gateway)
            if place / "gogetway.prom" in options:
                totals[gateway] = place / "gogetway.prom"
            else:
                shared.add(gateway.directory)
            return gateway
        yield start
    for gateway in [gateway for gateway in totals if gateway.directory in shared]:
        del totals[gateway]


@pytest.fixture
def endpoints_tool():
    return gogetway.tool("endpoints")
