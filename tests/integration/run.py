#!/usr/bin/env python3
"""Runs the integration tests: a process a test class, a few at a time.

    python3 tests/integration/run.py [-j N] [NAME...]

NAME is a part of `file.Class_backend`. A class that runs longer than its `time_limit_s` (240) is
stopped and counts as failed. The last line is `N passed, N failed, N skipped`.
"""

import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TIME_LIMIT_S = 240
JOBS = 6  # most tests wait, so more of them than cores may run


def classes(wanted):
    """[(name, tests in it, seconds at most)] of every test class in the folder."""
    sys.path.insert(0, HERE)
    found = []
    for file in sorted(os.listdir(HERE)):
        if not (file.startswith("test_") and file.endswith(".py")):
            continue
        module = __import__(file[:-3])
        for name, cls in sorted(vars(module).items()):
            if not (isinstance(cls, type) and issubclass(cls, unittest.TestCase)):
                continue
            count = unittest.defaultTestLoader.loadTestsFromTestCase(cls).countTestCases()
            full = f"{file[:-3]}.{name}"
            if count and cls.__module__ == file[:-3] and (
                not wanted or any(part in full for part in wanted)
            ):
                found.append((full, count, getattr(cls, "time_limit_s", TIME_LIMIT_S)))
    return found


def run(job):
    """(name, passed, failed, skipped, seconds, output)"""
    name, count, limit = job
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "unittest", "-v", name], cwd=HERE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\nstopped after {limit} s\n"
    took = time.monotonic() - began
    numbers = {word: int(number) for word, number in
               re.findall(r"(failures|errors|skipped)=(\d+)", output.splitlines()[-1] if output else "")}
    failed = numbers.get("failures", 0) + numbers.get("errors", 0)
    skipped = numbers.get("skipped", 0)
    if process.returncode != 0 and failed == 0:
        failed = 1
    return name, max(count - failed - skipped, 0), failed, skipped, took, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", type=int, default=JOBS)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    jobs = classes(args.names)
    if not jobs:
        sys.exit("no test of that name")
    sums = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for name, passed, failed, skipped, took, output in pool.map(run, jobs):
            verdict = "FAIL" if failed else "ok"
            print(f"{verdict:4} {name}: {passed} passed, {took:.1f} s", flush=True)
            for line in output.splitlines():
                if re.search(r"\.\.\. skipped", line):
                    print(f"skipped: {line}")
            if failed:
                print("\n".join("  " + line for line in output.splitlines()), flush=True)
            sums = [a + b for a, b in zip(sums, (passed, failed, skipped))]
    print("%d passed, %d failed, %d skipped" % tuple(sums))
    sys.exit(sums[1] != 0)


if __name__ == "__main__":
    main()
