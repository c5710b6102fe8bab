# SPDX-License-Identifier: Apache-2.0
"""Gateways with a script in Lua, for the tests of plugins/lua."""
import os
import pathlib
import re

import processes
from gogetway import program
from live import listener

LIBRARY = pathlib.Path(os.path.realpath(program())).parent / "plugins/lua/lua.so"


class Scripted:
    """A gateway with one listener and a script, which `write` replaces."""

    def __init__(self, configured, upstream, text, more=None, options=None, wait=True, **config):
        self.gateway = configured
        self.file = configured.scratch / "mine.lua"
        self.where = listener(upstream, **(more or {}))
        self.address = self.where["listen"]
        self.options = options or {}
        self.config = config
        self.write(text)
        self.process = configured.start(wait=wait)

    def write(self, text, **config):
        """The script's first line is the one behind its opening quotes."""
        self.config.update(config)
        other = self.file.with_suffix(".new")
        other.write_text(text.lstrip("\n"))
        os.replace(other, self.file)
        self.gateway.write(self.where, **self.options, plugins=[
            {"path": str(LIBRARY), "config": {"script": str(self.file), **self.config}}])

    def said(self):
        """What the script and the plug-in have said so far."""
        return [line["text"] for line in self.gateway.log() if line["event"] == "plug-in"]

    def wait(self, *texts):
        """Until all of them were said; in parts, and in any order."""
        def there():
            lines = self.said()
            return all(any(text in line for line in lines) for text in texts) and lines
        try:
            return processes.wait_until(there, 20, f"a script that says {texts}")
        except processes.DeadlineExceeded as problem:
            missing = [text for text in texts if not any(text in line for line in self.said())]
            raise AssertionError(f"{problem}: not {missing}; it said {self.said()}") from None

    def errors(self):
        lines = self.gateway.command("lua", "errors").stdout.decode().splitlines()
        return {name: int(count) for name, count in (re.fullmatch(r"(.*) (\d+)", line).groups()
                                                     for line in lines if not line.startswith("last "))}

    def last_error(self):
        """All of them are told here; of the messages there are only so many a second."""
        lines = self.gateway.command("lua", "errors").stdout.decode().splitlines()
        return lines[-1].removeprefix("last ")

    def wait_errors(self, function, count=1):
        return processes.wait_until(lambda: self.errors().get(function, 0) >= count, 20, f"errors of {function}")

    def states(self):
        lines = self.gateway.command("lua", "states").stdout.decode().splitlines()
        found = [re.fullmatch(r"state \d+: (.+), calls (\d+), memory (\d+), peak (\d+), memory_max \d+", line)
                 for line in lines]
        return [(one[1], int(one[2]), int(one[3]), int(one[4])) for one in found]
