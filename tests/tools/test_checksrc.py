#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one slip of each kind and expects checksrc to name it with its line, and nothing else."""
import os
import subprocess
import tempfile
import unittest

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "checksrc")
HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n"


class ChecksrcTest(unittest.TestCase):
    def run_tool(self, text, name="src/base/x.c"):
        with tempfile.TemporaryDirectory() as root:
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path))
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            done = subprocess.run(["/usr/bin/python3", TOOL, root], text=True, capture_output=True, check=False)
            return done.returncode, done.stdout

    def assert_found(self, text, line, words, name="src/base/x.c"):
        code, output = self.run_tool(text, name)
        self.assertEqual(code, 1, output)
        self.assertEqual(len(output.splitlines()), 1, output)
        self.assertIn(f"{name}:{line}: ", output)
        self.assertIn(words, output)

    def assert_clean(self, text, name="src/base/x.c"):
        self.assertEqual(self.run_tool(text, name), (0, ""))

    def test_banned_functions(self):
        self.assert_found(HEAD + "int x = atoi(text);\n", 2, "atoi is banned")
        self.assert_found(HEAD + "  strcpy (a, b);\n", 2, "strcpy is banned")
        self.assert_found(HEAD + "system(text);\n", 2, "system is banned")
        self.assert_clean(HEAD + "system(text);\n", "tests/unit/x.c")
        self.assert_clean(HEAD + '/* atoi(x) */ char *s = "sprintf(";\nint r = brand(1), q = o->random(2);\n')
        self.assert_clean(HEAD + "snprintf(a, 1, b); strtok_r(a, b, c);\n")

    def test_function_length(self):
        body = "  x++;\n" * 70
        self.assert_clean(HEAD + "void f(void)\n{\n" + body + "}\n")
        self.assert_found(HEAD + "void f(void)\n{\n" + body + "  x++;\n}\n", 3, "function of 71 lines")

    def test_file_length(self):
        self.assert_clean(HEAD + "int x;\n" * 799)
        self.assert_found(HEAD + "int x;\n" * 800, 801, "801 lines")

    def test_typedefs(self):
        self.assert_found(HEAD + "typedef unsigned long size_of_t;\n", 2, "_t")
        self.assert_found(HEAD + "typedef struct {\n  int a;\n} pair_t;\n", 4, "_t")
        self.assert_found(HEAD + "typedef void (*done_t)(int);\n", 2, "_t")
        self.assert_clean(HEAD + "typedef void (*gg_done_fn)(size_t);\nstruct x {\n  uint8_t a;\n};\n")

    def test_text_slips(self):
        self.assert_found("int x;\n", 1, "SPDX")
        self.assert_found(HEAD + "int\tx;\n", 2, "a tab")
        self.assert_found(HEAD + "int x; \n", 2, "trailing space")
        self.assert_found(HEAD + "int x;", 2, "no newline")
        self.assert_found(HEAD + "/*" + "x" * 119 + "\n", 2, "121 columns")

    def test_promises(self):
        self.assert_found(HEAD + "/* TO" + "DO: more */\n", 2, "promises")
        self.assert_found(HEAD + "/* good enough for n" + "ow */\n", 2, "promises")
        self.assert_clean(HEAD + "/* good enough for n" + "ow */\n", "tests/unit/x.c")

    def test_scripts_without_suffix(self):
        self.assert_found("#!/bin/sh\ntrue\n", 1, "SPDX", "tools/thing")
        self.assert_clean("not a script\t\n", "tests/data")

    def test_wrong_command(self):
        for argument in ("--nonsense", "/nonexistent/file.c"):
            done = subprocess.run(["/usr/bin/python3", TOOL, argument], capture_output=True, check=False)
            self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
