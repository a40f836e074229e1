"""The shell scripts' own parts: adding up, naming stages, listing packages, reading READMEs."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOOLS = os.path.join(ROOT, "tools")


def bash(script, **options):
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, **options)


def read(name):
    with open(os.path.join(TOOLS, name), encoding="utf-8") as file:
        return file.read()


class Tally(unittest.TestCase):
    def sums(self, log):
        with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
            file.write(log)
            file.flush()
            function = re.search(r"^tally\(\) \{.*?^\}$", read("check"), re.M | re.S).group()
            done = bash(f"{function}\ntally {file.name}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return tuple(int(number) for number in done.stdout.split())

    def test_each_runners_closing_line(self):
        for log, sums in {
            "7 passed, 0 failed\n": (7, 0, 0),
            "12: 3 passed, 1 failed, 2 skipped\n": (3, 1, 2),
            "Ran 8 tests in 1.6s\n\nFAILED (failures=1, errors=2, skipped=1)\n": (4, 3, 1),
            "Ran 1 test in 0.1s\n\nOK\n": (1, 0, 0),
            "Ran 4 tests in 0.1s\n\nOK (skipped=4)\n": (0, 0, 4),
            "==== 2 failed, 12 passed, 1 skipped, 1 error in 3.20s (0:01:02) ====\n": (12, 3, 1),
            "80 passed in 5.41s\n": (80, 0, 0),
            "# pass 5\n# fail 1\n# skipped 2\n": (5, 1, 2),
            "1: 7 passed, 0 failed\n2: 5 passed, 0 failed\n": (12, 0, 0),
            "it passed, nothing failed\n1 passed, really\n": (0, 0, 0),
        }.items():
            self.assertEqual(self.sums(log), sums, log)


class Check(unittest.TestCase):
    def test_every_stage_has_its_function_and_the_other_way_round(self):
        listed = bash("tools/check --list").stdout
        names = [line.split()[1] if line.startswith("long ") else line.split()[0]
                 for line in listed.splitlines() if line.strip()]
        functions = re.findall(r"^stage_(\w+)\(\)", read("check"), re.M)
        functions = [name for name in functions if name not in ("names", "limit")]
        self.assertEqual(sorted(name.replace("-", "_") for name in names), sorted(functions))

    def test_an_unknown_stage_fails(self):
        self.assertNotEqual(bash("tools/check no-such-stage").returncode, 0)

    def test_ci_runs_the_check_command(self):
        with open(os.path.join(ROOT, ".ci", "run"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?m)^exec \./tools/check$")


class Packages(unittest.TestCase):
    def test_lines_are_well_formed_and_groups_known(self):
        for line in read("packages").splitlines():
            if line and not line.startswith("#"):
                self.assertRegex(line, r"^(build|run|test|fuzz|arm|bench) +[a-z0-9][a-z0-9+.-]+( .*)?$")

    def missing(self, dpkg, probe_fails):
        """What is found missing where dpkg-query says `dpkg` and every probe succeeds or fails."""
        with tempfile.TemporaryDirectory() as bin_folder:
            for name, text in {"dpkg-query": f"echo {dpkg}", "bash": "exit 1"}.items():
                if name == "bash" and not probe_fails:
                    continue
                path = os.path.join(bin_folder, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"#!/bin/sh\n{text}\n")
                os.chmod(path, 0o755)
            script = f'. tools/lib.sh; PATH={bin_folder}:$PATH; packages_missing build run'
            return bash(script).stdout.split()

    def test_what_is_installed_is_not_missing(self):
        self.assertEqual(self.missing("installed", probe_fails=True), [])

    def test_what_is_not_installed_is_missing_unless_a_probe_finds_it(self):
        self.assertIn("cmake", self.missing("not-installed", probe_fails=True))
        self.assertIn("librocksdb-dev", self.missing("not-installed", probe_fails=False))
        self.assertNotIn("libc6-dev", self.missing("not-installed", probe_fails=False))


class Readme(unittest.TestCase):
    def run_on(self, *texts):
        with tempfile.TemporaryDirectory() as home:
            paths = []
            for number, text in enumerate(texts):
                paths.append(os.path.join(home, f"{number}.md"))
                with open(paths[-1], "w", encoding="utf-8") as file:
                    file.write(text)
            environment = {**os.environ, "PENSTOCK_URL": "http://127.0.0.1:1", "PENSTOCK_KEY": "k",
                           "PENSTOCK_BIN": "/bin/true"}
            done = subprocess.run([sys.executable, os.path.join(TOOLS, "readme"), *paths], cwd=ROOT,
                                  capture_output=True, text=True, env=environment)
            return done.returncode, done.stdout

    def test_blocks_run(self):
        self.assertEqual(self.run_on("```sh\ntrue\n```\n")[0], 0)
        self.assertEqual(self.run_on("```sh\nfalse\n```\n")[0], 1)
        self.assertEqual(self.run_on("```sh\nfalse\ntrue\n```\n")[0], 1)
        self.assertEqual(self.run_on('```sh\n[ "http://127.0.0.1:8080" = "$PENSTOCK_URL" ]\n```\n')[0], 0)

    def test_a_shown_block_is_only_parsed(self):
        self.assertEqual(self.run_on("<!-- shown: why -->\n```sh\nfalse\n```\n")[0], 0)
        self.assertEqual(self.run_on("<!-- shown: why -->\n```sh\nif\n```\n")[0], 1)

    def test_unknown_kinds_dead_links_and_no_blocks_fail(self):
        self.assertEqual(self.run_on("```\nx\n```\n")[0], 1)
        self.assertEqual(self.run_on("[a](no/such/file)\n```sh\ntrue\n```\n")[0], 1)
        self.assertEqual(self.run_on("text\n")[0], 1)

    def test_a_translation_carries_the_same_blocks(self):
        block = "```sh\ntrue    # {}\n```\n"
        self.assertEqual(self.run_on(block.format("yes"), block.format("ja"))[0], 0)
        self.assertEqual(self.run_on(block.format("yes"), "```sh\ntrue 1\n```\n")[0], 1)


if __name__ == "__main__":
    unittest.main()
