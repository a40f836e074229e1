"""tests/matrix finds rows and rules without a test, tests that are gone, and ids that are no row's."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TESTS = os.path.join(os.path.dirname(__file__), "..")


class Matrix(unittest.TestCase):
    def changed(self, pattern, text):
        """(status, complaints) of the integration tests with every match of the pattern changed."""
        with tempfile.TemporaryDirectory() as folder:
            for file in os.listdir(os.path.join(TESTS, "integration")):
                if file.endswith(".py"):
                    shutil.copy(os.path.join(TESTS, "integration", file), folder)
                    with open(os.path.join(folder, file), "r+", encoding="utf-8") as opened:
                        changed = re.sub(pattern, text, opened.read())
                        opened.seek(0)
                        opened.truncate()
                        opened.write(changed)
            done = subprocess.run([sys.executable, os.path.join(TESTS, "matrix"), "--check", folder],
                                  capture_output=True, text=True)
            return done.returncode, done.stderr

    def test_the_tree_is_complete(self):
        self.assertEqual(self.changed("$^", ""), (0, ""))

    def test_a_row_without_a_test(self):
        code, told = self.changed(r"(def test_)U2_", r"\1")
        self.assertEqual(code, 1)
        self.assertIn("U2 has no test: hangs before the head", told)

    def test_an_id_in_a_docstring_counts(self):
        code, told = self.changed(r"def test_P43_(\w+)\(self\):\n        \"\"\"", r'def test_\1(self):\n        """P43: ')
        self.assertEqual((code, told), (0, ""))

    def test_a_named_test_that_is_gone(self):
        code, told = self.changed("def test_keys_in_two_places", "def test_keys")
        self.assertEqual((code, told), (1, "test_keys_in_two_places does not exist: keys: one place, no query\n"))

    def units(self, pattern, text):
        """The same of the unit tests."""
        with tempfile.TemporaryDirectory() as folder:
            for file in os.listdir(os.path.join(TESTS, "unit")):
                if file.startswith("test_") and file.endswith(".c"):
                    with open(os.path.join(TESTS, "unit", file), encoding="utf-8") as opened:
                        changed = re.sub(pattern, text, opened.read())
                    with open(os.path.join(folder, file), "w", encoding="utf-8") as opened:
                        opened.write(changed)
            done = subprocess.run([sys.executable, os.path.join(TESTS, "matrix"), "--check",
                                   os.path.join(TESTS, "integration"), folder],
                                  capture_output=True, text=True)
            return done.returncode, done.stderr

    def test_a_rule_without_a_test(self):
        code, told = self.units("C-021", "C-022")
        self.assertEqual((code, told), (1, "C-021 has no test: interleaved calls come one at a time where they have to\n"))

    def test_a_case_without_a_row(self):
        code, told = self.units('"P07 ', '"')
        self.assertEqual((code, told), (1, "P07 has no test: a call without arguments\n"))

    def test_a_rule_that_is_open_no_more(self):
        code, told = self.units('"P07 ', '"P07 C-145 ')
        self.assertEqual(code, 1)
        self.assertIn("C-145 has a test and stands in OPEN", told)

    def test_a_rule_that_does_not_exist(self):
        code, told = self.units(r"\(void\) // C-0", "(void) // C-999, C-0")
        self.assertEqual(code, 1)
        self.assertIn("carries C-999, which is no row", told)

    def test_an_id_that_is_no_row(self):
        code, told = self.changed("def test_U2_", "def test_U2_U99_")
        self.assertEqual(code, 1)
        self.assertIn("carries U99, which is no row", told)


if __name__ == "__main__":
    unittest.main()
