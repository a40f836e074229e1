"""tests/matrix finds rows without a test, tests that are gone, and ids that are no row's."""

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

    def test_an_id_that_is_no_row(self):
        code, told = self.changed("def test_U2_", "def test_U2_U99_")
        self.assertEqual(code, 1)
        self.assertIn("carries U99, which is no row", told)


if __name__ == "__main__":
    unittest.main()
