"""tools/guards expects green, then red, and takes nothing else for either."""

import os
import subprocess
import sys
import tempfile
import unittest

TOOL = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "guards")
# A test program: case `good` fails without the guard A, `blind` never, `broken` does not end well.
PROGRAM = """#!/bin/sh
case $1 in
good) if [ "$PENSTOCK_FAULTS" = A ]; then echo "FAILED good" >&2; echo "0 passed, 1 failed"; exit 1; fi ;;
other) if [ "$PENSTOCK_FAULTS" = A ]; then echo "FAILED another" >&2; exit 1; fi ;;
abort) if [ "$PENSTOCK_FAULTS" = A ]; then echo "FAILED abort" >&2; kill -ABRT $$; fi ;;
crash) if [ "$PENSTOCK_FAULTS" = A ]; then echo "FAILED crash" >&2; kill -SEGV $$; fi ;;
always) echo "FAILED always" >&2; exit 1 ;;
none) echo "0 passed, 0 failed"; exit 1 ;;
esac
echo "1 passed, 0 failed"
"""


class Guards(unittest.TestCase):
    def judge(self, test, source="if (GUARD(A))", row='GUARD_ROW(A, "{}", "text")'):
        """(exit status, output) of a tree with one guard, whose row names this test."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {"include/penstock/base/guard.def": row.format(test) + "\n",
                               "src/x.c": source, "build/debug/test_x": PROGRAM}.items():
                path = os.path.join(root, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(path, 0o755)
            done = subprocess.run([sys.executable, TOOL, "--root", root], text=True,
                                  capture_output=True)
            return done.returncode, done.stdout + done.stderr

    def test_a_test_that_fails_without_its_guard_alone(self):
        for case in ("good", "abort"):
            status, out = self.judge(f"test_x:{case}")
            self.assertEqual(status, 0, out)
            self.assertIn("\n2 passed, 0 failed", out)

    def test_all_else_fails_the_run(self):
        for case, said in {"blind": "without A: green", "always": "with all guards: red",
                           "other": "without A: broken", "crash": "without A: broken",
                           "none": "with all guards: broken"}.items():
            status, out = self.judge(f"test_x:{case}")
            self.assertEqual(status, 1, out)
            self.assertIn(f"FAIL test_x:{case} {said}", out)

    def test_a_guard_needs_a_test_a_use_and_a_program(self):
        self.assertIn("FAIL A: has no test", self.judge("")[1])
        self.assertIn("FAIL A: nothing asks it", self.judge("test_x:good", source="GUARD(B)")[1])
        self.assertIn("no program", self.judge("test_y:good")[1])
        for status, _ in (self.judge(""), self.judge("test_x:good", source=""), self.judge("test_y:good")):
            self.assertEqual(status, 1)

    def test_a_row_that_is_not_understood(self):
        self.assertNotEqual(self.judge("", row='GUARD_ROW(A,\n"test_x:good", "text")')[0], 0)


if __name__ == "__main__":
    unittest.main()
