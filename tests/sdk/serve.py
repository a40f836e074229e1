#!/usr/bin/env python3
"""Runs a command against a Penstock in front of its own mock vendor.

    python3 tests/sdk/serve.py [--backend uring|epoll|auto] -- COMMAND...

The command finds PENSTOCK_URL, PENSTOCK_KEY and PENSTOCK_CONTRACT (contract.json: the mock's model
names and faults, the one place where they stand) in its environment. Its exit status is ours, unless
the gateway or the mock did not end cleanly: then ours is 1.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from harness import Gateway, binary  # noqa: E402
from raw import free_port  # noqa: E402

MOCK_START_S = 30
COMMAND_S = 600


def start_mock(port, log):
    process = subprocess.Popen([binary(), "mock", "--listen", f"127.0.0.1:{port}"],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end = time.monotonic() + MOCK_START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.02)
    process.kill()
    sys.exit("the mock vendor did not start")


def stop_mock(process):
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return "killed"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="auto")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("no command")
    contract_path = os.path.join(HERE, "contract.json")
    with open(contract_path, encoding="utf-8") as file:
        contract = json.load(file)

    with tempfile.TemporaryDirectory(prefix="penstock-sdk-") as home:
        mock_log = os.path.join(home, "mock.log")
        port = free_port()
        with open(mock_log, "wb") as log:
            mock = start_mock(port, log)
        accounts = [
            {"name": f"mock-{account['type']}", "type": account["type"],
             "base_url": f"http://127.0.0.1:{port}{account['path']}",
             "api_key": "mock-vendor-key", "models": account["models"]}
            for account in contract["accounts"]
        ]
        # The mock's faults are the same at every account: a second attempt, in another format, would
        # only tell of the fault in that format's words.
        gateway = Gateway(args.backend, accounts=accounts, home=home,
                          config={"upstream": {"retries": 0}})
        status = 1
        try:
            gateway.start()
            status = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=COMMAND_S, env={
                **os.environ, "PENSTOCK_URL": gateway.url, "PENSTOCK_KEY": gateway.key,
                "PENSTOCK_CONTRACT": contract_path,
            }).returncode
        except subprocess.TimeoutExpired:
            print(f"stopped after {COMMAND_S} s", file=sys.stderr)
        finally:
            mock_status = stop_mock(mock)
            try:
                gateway.stop()
                if mock_status != 0:
                    with open(mock_log, encoding="utf-8", errors="replace") as file:
                        raise AssertionError(f"the mock ended with {mock_status}:\n{file.read()[-4000:]}")
            except AssertionError as error:
                print(error, file=sys.stderr)
                status = status or 1
            if status != 0:
                print(gateway.log()[-4000:], file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
