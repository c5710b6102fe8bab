#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds bounds to a copy of the sources: checkbounds asks for each, with its line, and for nothing else."""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TOOL = os.path.join(ROOT, "tools", "checkbounds")


class CheckboundsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        shutil.copytree(os.path.join(ROOT, "src"), os.path.join(self.folder.name, "src"))

    def run_tool(self):
        done = subprocess.run(["/usr/bin/python3", TOOL, self.folder.name], text=True, capture_output=True, check=False)
        return done.returncode, done.stdout.splitlines()

    def write(self, name, text):
        with open(os.path.join(self.folder.name, "src", name), "w", encoding="ascii") as file:
            file.write(text)

    def test_the_sources_are_clean(self):
        self.assertEqual(self.run_tool(), (0, []))

    def test_new_bounds(self):
        self.write("gateway/x.c", "/* OLD_MAX = 1 */\nenum {\n  THINGS_MAX = 5,\n  KINDS = 3,\n};\n"
                   "static const uint64_t GRACE_NS = 5;\n#define GG_X_BYTES (1 << 20)\nif (count == WAITING_MAX)\n")
        code, lines = self.run_tool()
        self.assertEqual(code, 1)
        self.assertEqual([line.split(" is ")[0] for line in lines],
                         ["src/gateway/x.c:3: THINGS_MAX", "src/gateway/x.c:6: GRACE_NS",
                          "src/gateway/x.c:7: GG_X_BYTES"])

    def test_what_is_listed_and_gone(self):
        self.write("net/resolve.c", "enum { COPY_TRIES_MAX = 64 };\n")
        code, lines = self.run_tool()
        self.assertEqual((code, lines), (1, ["src/net/resolve.c: NAMES_MAX is listed in tools/checkbounds, and is not "
                                             "there"]))

    def test_what_the_table_lost(self):
        path = os.path.join(self.folder.name, "src/engine/bounds.c")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line for line in text.splitlines(True) if "GG_BACKLOG" not in line))
        code, lines = self.run_tool()
        self.assertEqual((code, len(lines)), (1, 1))
        self.assertIn("src/gateway/bind.h:", lines[0])
        self.assertIn("GG_BACKLOG is a bound that", lines[0])


if __name__ == "__main__":
    unittest.main()
