"""configs/penstock.service is what systemd takes, exposes little, and lets the gateway's calls through.
systemd need not run for it."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BINARY = "/usr/bin/penstock"
# Of 100; what is left is the network, its own user, and memory that is locked.
EXPOSURE_MAX = 15
# What a shard and the store cannot do without, whatever the C library calls beside it.
CALLS = """io_uring_setup io_uring_enter io_uring_register epoll_create1 epoll_ctl epoll_pwait accept4
    socket bind listen connect setsockopt sendmsg recvmsg sched_setaffinity sched_getaffinity prlimit64
    mlock madvise mmap mprotect clone3 futex fdatasync fsync fallocate flock fcntl rename unlink openat
    getrandom clock_gettime prctl rt_sigaction eventfd2 timerfd_create""".split()


def analyze(*args):
    return subprocess.run(["systemd-analyze", "--no-pager", *args], text=True, capture_output=True,
                          timeout=60, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not there")
class Service(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(ROOT, "configs", "penstock.service"), encoding="utf-8") as file:
            self.text = file.read()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "penstock.service")

    def verify(self, text):
        """What systemd has against the unit; the binary need not be installed."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text.replace(BINARY, "/bin/true"))
        done = analyze("verify", "--man=no", self.path)
        found = [line for line in done.stderr.splitlines() if "penstock.service" in line]
        return found or [f"exit status {done.returncode}"] * (done.returncode != 0)

    def test_systemd_has_nothing_against_it(self):
        self.assertEqual(self.verify(self.text), [])

    def test_what_systemd_does_not_know_is_noticed(self):
        self.assertNotEqual(self.verify(self.text.replace("RestartSec=", "RestartSecs=")), [])
        self.assertNotEqual(self.verify(self.text.replace("Type=notify", "Type=notifies")), [])
        self.assertNotEqual(self.verify(self.text.replace(f"ExecStart={BINARY}", "ExecStart=/nowhere")),
                            [])

    def test_it_exposes_little(self):
        self.verify(self.text)
        security = ("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}")
        done = analyze(*security, self.path)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.verify(self.text.replace("ProtectSystem=strict", "").replace("NoNewPrivileges=yes", "")
                    .replace("SystemCallFilter=", "#"))
        self.assertNotEqual(analyze(*security, self.path).returncode, 0)

    def calls_of(self, group):
        done = analyze("syscall-filter", group)
        self.assertEqual(done.returncode, 0, done.stderr)
        calls = set()
        for line in done.stdout.splitlines()[1:]:
            name = line.strip()
            if name.startswith("@"):
                calls |= self.calls_of(name)
            elif name and not name.startswith("#"):
                calls.add(name)
        return calls

    def test_the_filter_lets_the_gateway_work(self):
        allowed = set()
        for rule in re.findall(r"^SystemCallFilter=(.*)$", self.text, re.M):
            for group in rule.removeprefix("~").split():
                if rule.startswith("~"):
                    allowed -= self.calls_of(group)
                else:
                    allowed |= self.calls_of(group)
        self.assertEqual([name for name in CALLS if name not in allowed], [])
        for name in ("ptrace", "mount", "bpf", "kexec_load", "init_module", "setuid", "reboot"):
            self.assertNotIn(name, allowed)


if __name__ == "__main__":
    unittest.main()
