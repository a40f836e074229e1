#!/usr/bin/env python3
"""Runs the tests of this folder, with the reason of each that is skipped on a line of its own.

    PENSTOCK_BIN=build/asan/penstock python3 tests/strict/run.py [--long] [NAME...]

NAME is a part of `file.Class.test`. With `--long`, or CHECK_LONG=1, conversations of more seeds are held.
The clients come from tests/sdk (its two `setup` scripts).
"""

import os
import sys
import unittest
import warnings
from pathlib import Path

HERE = Path(__file__).parent
FILES = ("test_refusals", "test_native", "test_errors", "test_features", "test_through")


def chosen(suite, names):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from chosen(test, names)
        elif not names or any(name in test.id() for name in names):
            yield test


def main():
    sys.path.insert(0, str(HERE))
    names = [name for name in sys.argv[1:] if name != "--long"]
    if len(names) < len(sys.argv) - 1:
        os.environ["CHECK_LONG"] = "1"
    warnings.simplefilter("ignore", ResourceWarning)  # clients leave their sockets to the collector
    tests = list(chosen(unittest.defaultTestLoader.loadTestsFromNames(FILES), names))
    if not tests:
        sys.exit("no test of that name")
    result = unittest.TextTestRunner(verbosity=2, warnings="ignore").run(unittest.TestSuite(tests))
    for test, why in result.skipped:
        print(f"skipped: {test.id()}: {why}")
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
