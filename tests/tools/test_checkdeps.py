#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation of each rule in a small tree and expects checkdeps to name it, and nothing else."""
import os
import subprocess
import tempfile
import unittest

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "checkdeps")

CLEAN = {
    "src/base/buffer.h": "#include <stddef.h>\n",
    "src/base/buffer.c": '#include "base/buffer.h"\n#include <gogetway/error.h>\n',
    "src/net/socket.c": '#include "base/buffer.h"\n#include <sys/socket.h>\n',
    "src/engine/engine.c": '#include "net/socket.h"\n#include "admin/control.h"\n',
    "include/gogetway/error.h": "#include <stddef.h>\n#include <gogetway/other.h>\n",
    "cli/run.c": '#include "cli/command.h"\n#include "command.h"\n#include <gogetway/error.h>\n',
    "plugins/flag.c": "#include <gogetway/plugin.h>\n#include <string.h>\n",
}


class CheckdepsTest(unittest.TestCase):
    def run_tool(self, extra):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **extra}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="ascii") as file:
                    file.write(text)
            stamp = os.path.join(root, "stamp")
            done = subprocess.run(["/usr/bin/python3", TOOL, "--stamp", stamp, root], text=True, capture_output=True,
                                  check=False)
            self.assertEqual(os.path.exists(stamp), done.returncode == 0)
            return done.returncode, done.stdout

    def assert_found(self, path, text, words):
        code, output = self.run_tool({path: text})
        self.assertEqual(code, 1)
        self.assertEqual(len(output.splitlines()), 1, output)
        self.assertIn(path, output)
        self.assertIn(words, output)

    def test_a_clean_tree_passes(self):
        self.assertEqual(self.run_tool({}), (0, ""))

    def test_upward(self):
        self.assert_found("src/base/bad.c", '\n#  include "net/socket.h"\n', ":2: base is below net")

    def test_siblings(self):
        self.assert_found("src/net/bad.c", '#include "proto/http.h"\n', "siblings")

    def test_unknown_room(self):
        code, output = self.run_tool({"src/attic/bad.c": "\n"})
        self.assertEqual((code, output.count("does not know")), (1, 1))
        self.assert_found("src/net/bad.c", '#include "attic/x.h"\n', "in no room")

    def test_relative(self):
        self.assert_found("src/net/bad.c", '#include "../base/buffer.h"\n', "goes upward")

    def test_public_header(self):
        self.assert_found("include/gogetway/bad.h", '#include "base/buffer.h"\n', "public header")
        self.assert_found("include/gogetway/bad.h", "#include <jansson.h>\n", "neither ours")

    def test_cli_and_examples(self):
        self.assert_found("cli/bad.c", '#include "base/buffer.h"\n', "cli includes")
        self.assert_found("examples/bad.c", '#include "engine/engine.h"\n', "examples includes")

    def test_plugins(self):
        self.assert_found("plugins/bad.c", "#include <gogetway/error.h>\n", "only <gogetway/plugin.h>")
        self.assert_found("plugins/bad.c", '#include "hook/hook.h"\n', "plugins includes")

    def test_wrong_command(self):
        done = subprocess.run(["/usr/bin/python3", TOOL, "--nonsense"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
