"""The rows of the bench's table: how each is measured, and what it is held to."""

import glob
import json
import os
import random
import re
import statistics
import subprocess
import time
import urllib.request

from servers import Failed

BUSY_MAX = 0.60  # of its core, for the vendor: past that it, not the proxy, sets the pace
TARGET_PATH = "/v1/chat/completions"
# What the gateway says of its own system calls. A tracer would cost more than what it counts.
METRIC_SYSCALLS = "penstock_io_syscalls_total"


class Bar:
    """A figure's must and aim. `better` is "more" or "less"."""

    def __init__(self, must, aim, better="more"):
        self.must, self.aim, self.better = must, aim, better

    def verdict(self, value):
        if value is None:
            return "not measured"
        reached = (lambda bar: value >= bar) if self.better == "more" else (lambda bar: value <= bar)
        return "aim" if reached(self.aim) else "must" if reached(self.must) else "MISSED"

    def text(self):
        sign = ">=" if self.better == "more" else "<="
        return f"{sign} {self.must:g}", f"{sign} {self.aim:g}"


class Figure:
    """One line of the table: a value with its spread, and the bar it is held to."""

    def __init__(self, what, values, unit="", bar=None, note=""):
        values = [value for value in values if value is not None]
        self.what, self.unit, self.bar, self.note = what, unit, bar, note
        self.value = statistics.median(values) if values else None
        if len(values) >= 4:
            self.low, _, self.high = statistics.quantiles(values, n=4)
        else:
            self.low, self.high = (min(values), max(values)) if values else (None, None)

    def verdict(self):
        return self.bar.verdict(self.value) if self.bar else ""


class Bench:
    """Runs load against one thing at a time, in interleaved rounds."""

    def __init__(self, lab, rounds, seconds, log):
        self.lab, self.rounds, self.seconds, self.log = lab, rounds, seconds, log
        self.warnings = []

    def load(self, server, port, *options, seconds=None, warm=0.3):
        seconds = seconds or self.seconds
        command = [os.path.join(self.lab.build, "penstock-load"), "--target", f"127.0.0.1:{port}"]
        command += ["--path", TARGET_PATH, "--seconds", str(seconds), "--warm", str(warm)]
        command += ["--cpu", str(self.lab.load_core)]
        command += ["--header", f"authorization: Bearer {self.lab.key}"]
        command += ["--watch", f"vendor={self.lab.vendor.pid}"]
        if server is not None:
            command += ["--watch", "proxy=" + ",".join(str(pid) for pid in server.pids())]
        done = subprocess.run(
            command + [str(option) for option in options], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise Failed(f"load on {server.name if server else 'the vendor'}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        if result["errors"]:
            raise Failed(f"{server.name if server else 'direct'}: {result['errors']} failed requests; "
                         f"{done.stderr.strip()[-300:]}")
        busy = result["watch"]["vendor"]["cpu_ns"] / result["seconds"] / 1e9
        if busy > BUSY_MAX:
            self.warn(f"the vendor used {busy:.0%} of its core")
        return result

    def warn(self, text):
        self.warnings.append(text)

    def interleave(self, variants, *options, seconds=None, warm=0.3):
        """{name: [result a round]}; every round runs each variant once, in an order of its own."""
        results = {name: [] for name in variants}
        for number in range(self.rounds):
            order = list(variants)
            random.Random(number).shuffle(order)
            for name in order:
                server, port, *own = variants[name]
                results[name].append(
                    self.load(server, port, *options, *own, seconds=seconds, warm=warm))
            self.log(f"round {number + 1}/{self.rounds}")
        return results

    def variants(self, kind, **gateway):
        """The two references and, when there is one, the gateway: {name: (server, port)}."""
        lab, suffix = self.lab, "" if kind == "plain" else f"_{kind}"
        found = {
            "nginx": (lab.nginx, lab.ports["nginx" + suffix]),
            "haproxy": (lab.haproxy, lab.ports["haproxy" + suffix]),
        }
        if lab.penstock_bin:
            server = lab.gateway(kind, **gateway)
            found["penstock"] = (server, server.port)
        return found


def cpu_us(result, unit):
    count = result[unit]
    return result["watch"]["proxy"]["cpu_ns"] / count / 1e3 if count else None


def compare_cpu(bench, title, variants, unit, bars, *options, **timing):
    """CPU a request or event of each, and each reference's over ours, round by round."""
    results = bench.interleave(variants, *options, **timing)
    cpu = {name: [cpu_us(result, unit) for result in rounds] for name, rounds in results.items()}
    figures = []
    for name in variants:
        busy = statistics.median(
            r["watch"]["proxy"]["cpu_ns"] / r["seconds"] / 1e9 for r in results[name]
        )
        rate = statistics.median(r[unit] / r["seconds"] for r in results[name])
        figures.append(Figure(f"{title}: {name}, CPU", cpu[name], f"us/{unit[:-1]}",
                              note=f"{rate:,.0f}/s at {busy:.0%} of the core"))
    if "penstock" in variants:
        for name in variants:
            if name != "penstock":
                ratios = [theirs / ours for theirs, ours in zip(cpu[name], cpu["penstock"])]
                figures.append(Figure(f"{title}: {name} / penstock", ratios, "", bars.get(name)))
    return figures, results


def row_json(bench):
    bars = {"nginx": Bar(1.25, 1.4), "haproxy": Bar(1.2, 1.35)}
    return compare_cpu(bench, "1 KB JSON, 64 connections", bench.variants("plain"), "requests",
                       bars, "--mode", "closed", "--conns", 64)[0]


def row_json_log(bench):
    bars = {"nginx": Bar(1.25, 1.4), "haproxy": Bar(1.2, 1.35)}
    return compare_cpu(bench, "1 KB JSON, access lines on", bench.variants("log", access="true"),
                       "requests", bars, "--mode", "closed", "--conns", 64)[0]


def added(results, field):
    """{name: [p50 over direct, a round]} for one of the load's histograms."""
    return {
        name: [ours[field]["p50"] - direct[field]["p50"]
               for ours, direct in zip(rounds, results["direct"])]
        for name, rounds in results.items() if name != "direct"
    }


def compare_added(title, results, field, bar):
    over = added(results, field)
    figures = [Figure(f"{title}: {name} over direct, p50", values, "us",
                      note=f"p99 {statistics.median(r[field]['p99'] for r in results[name]):,.0f} us")
               for name, values in over.items()]
    for name in over:
        if name not in ("nginx", "haproxy"):
            ratios = [ours / theirs for ours, theirs in zip(over[name], over["nginx"]) if theirs > 0]
            held = bar if name.startswith("penstock") else None
            figures.append(Figure(f"{title}: {name} / nginx", ratios, "", held))
    return figures


def row_sse(bench):
    variants = bench.variants("plain")
    variants["direct"] = (bench.lab.vendor, bench.lab.ports["vendor"])
    bars = {"nginx": Bar(1.3, 1.45), "haproxy": Bar(1.25, 1.4)}
    options = ["--mode", "stream", "--conns", 500, "--interval-us", 20000]
    figures, results = compare_cpu(bench, "SSE, 500 streams at 20 ms", variants, "events", bars,
                                   *options, warm=0.5)
    figures = [figure for figure in figures if "direct" not in figure.what]
    figures += compare_added("SSE event, 500 streams", results, "latency_us",
                             Bar(1.05, 0.9, "less"))
    return figures


def row_sse_2000(bench):
    return compare_cpu(bench, "SSE, 2,000 streams at 50 ms", bench.variants("plain"), "events", {},
                       "--mode", "stream", "--conns", 2000, "--interval-us", 50000, warm=0.5)[0]


def row_tls(bench):
    bars = {"nginx": Bar(1.35, 1.6), "haproxy": Bar(1.25, 1.5)}
    return compare_cpu(bench, "vendor over TLS, 1 KB JSON", bench.variants("tls", tls=True),
                       "requests", bars, "--mode", "closed", "--conns", 64)[0]


def row_body(bench):
    """nginx twice: streaming the body, as the other two do, and reading all of it into memory first.
    The second is at times a third cheaper and at times the same, by the state of its heap."""
    variants, lab = bench.variants("plain"), bench.lab
    variants["nginx"] = (lab.nginx, lab.ports["nginx_body"])
    variants["nginx, buffering"] = (lab.nginx, lab.ports["nginx"])
    holding = lab.forward("forward-hold", "--hold")
    variants["a bare forwarder that holds"] = (holding, holding.port)
    bars = {"nginx": Bar(1.2, 1.3)}
    return compare_cpu(bench, "300 KB request bodies", variants, "requests", bars,
                       "--mode", "closed", "--conns", 16, "--body-bytes", 300 * 1024)[0]


def latency_at(bench, rates, bar, variants, label=""):
    figures = []
    variants = {**variants, "direct": (None, bench.lab.ports["vendor"])}
    for rate in rates:
        results = bench.interleave(variants, "--mode", "open", "--conns", 128, "--rate", rate)
        for name, rounds in results.items():
            missed = max(result["missed"] / result["seconds"] / rate for result in rounds)
            if missed > 0.01:
                bench.warn(f"{name} at {rate}/s: {missed:.1%} of the requests were late")
        figures += compare_added(f"latency at {rate:,}/s{label}", results, "latency_us", bar)
    return figures


def row_latency(bench):
    return latency_at(bench, (5000, 12000), Bar(1.05, 0.9, "less"), bench.variants("plain"))


def row_spin(bench):
    """With the longest spin there is, so that the gaps of these rates are spun through. Beside it a
    forwarder that spins and reads nothing: what this machine's wake-ups and copies cost anybody."""
    lab, variants = bench.lab, {"nginx": bench.variants("plain")["nginx"]}
    forward = lab.forward("forward-spin", "--spin-us", 1000)
    variants["a bare forwarder"] = (forward, forward.port)
    if lab.penstock_bin:
        server = lab.gateway("spin", spin_us=1000)
        variants["penstock, spinning"] = (server, server.port)
    bar = Bar(0.6, 0.4, "less")
    figures = latency_at(bench, (5000, 12000), bar, variants, ", spin")
    variants["direct"] = (bench.lab.vendor, bench.lab.ports["vendor"])
    results = bench.interleave(variants, "--mode", "stream", "--conns", 500, "--interval-us", 20000,
                               warm=0.5)
    return figures + compare_added("SSE event, spin", results, "latency_us", bar)


def row_convert(bench):
    """Clients of Messages at the Chat vendor, beside clients of Chat: what conversion costs the whole
    gateway."""
    if missing := need_penstock(bench, "converted / pass"):
        return missing
    server = bench.lab.gateway("plain")
    variants = {"pass": (server, server.port), "converted": (server, server.port, "--path", "/v1/messages")}
    stream = ["--mode", "stream", "--conns", 500, "--interval-us", 20000]
    bursts = ["--mode", "stream", "--conns", 100, "--interval-us", 40000, "--burst", 16]
    closed = ["--mode", "closed"]
    cases = [
        ("paced stream, one event a read", "events", Bar(1.1, 1.05, "less"), stream),
        ("stream, 16 events a read", "events", Bar(2, 2, "less"), bursts),
        ("1 KB request and answer", "requests", Bar(1.2, 1.1, "less"), [*closed, "--conns", 64]),
        ("300 KB request", "requests", Bar(2.5, 1.8, "less"),
         [*closed, "--conns", 16, "--body-bytes", 300 * 1024]),
    ]
    figures = []
    for title, unit, bar, options in cases:
        results = bench.interleave(variants, *options, warm=0.5)
        cpu = {name: [cpu_us(result, unit) for result in rounds] for name, rounds in results.items()}
        both = list(zip(cpu["converted"], cpu["pass"]))
        figures.append(Figure(f"{title}: converted / pass", [ours / base for ours, base in both], "", bar,
                              note=f"pass {statistics.median(cpu['pass']):.2f} us/{unit[:-1]}"))
        if "16" in title:
            figures.append(Figure(f"{title}: added", [ours - base for ours, base in both], "us/event",
                                  Bar(0.6, 0.6, "less")))
    return figures


def metric(server, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.M)
    return sum(float(value) for value in values) if values else None


def need_penstock(bench, title):
    return [] if bench.lab.penstock_bin else [Figure(title, [], note="no penstock")]


def row_syscalls(bench):
    """The gateway's own count over a window. The other two cannot be counted without a tracer;
    strace once showed 5.2 (nginx) and 4.2 (HAProxy) a request in this very set-up."""
    title = "system calls a request, 64 connections"
    if missing := need_penstock(bench, title):
        return missing
    server, values = bench.lab.gateway("plain"), []
    for _ in range(bench.rounds):
        before = metric(server, METRIC_SYSCALLS)
        result = bench.load(server, server.port, "--mode", "closed", "--conns", 64, warm=0)
        after = metric(server, METRIC_SYSCALLS)
        if before is not None:
            values.append((after - before) / result["requests"])
    return [Figure(title, values, "", Bar(0.5, 0.1, "less"),
                   note="" if values else f"no {METRIC_SYSCALLS} in /metrics")]


def instructions(pattern):
    """{thread: instructions} of callgrind's dumps with this name."""
    found = {}
    for path in glob.glob(pattern):
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        thread = re.search(r"^thread: (\d+)", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if thread and total:
            found[thread.group(1)] = found.get(thread.group(1), 0) + int(total.group(1))
    return found


def row_callgrind(bench):
    """Instructions in user space, libraries included, of the thread that does most: the shard."""
    title = "instructions a request in user space, 2 KB bodies"
    if missing := need_penstock(bench, title):
        return missing
    lab, values = bench.lab, []
    out = lab.path("callgrind.out")
    server = lab.gateway("callgrind", backend=os.environ.get("BENCH_CALLGRIND_IO", "epoll"), before=(
        "valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"))
    options = ["--mode", "closed", "--conns", 8, "--body-bytes", 2048]
    bench.load(server, server.port, *options, seconds=2, warm=0)
    control = ["callgrind_control"]
    for _ in range(min(bench.rounds, 3)):
        subprocess.run([*control, "-z", str(server.pid)], capture_output=True, check=True, timeout=60)
        result = bench.load(server, server.port, *options, seconds=max(bench.seconds, 3), warm=0)
        for old in glob.glob(out + "*"):
            os.unlink(old)
        subprocess.run([*control, "-d", str(server.pid)], capture_output=True, check=True, timeout=60)
        time.sleep(0.5)
        counts = instructions(out + "*")
        if counts:
            values.append(max(counts.values()) / result["requests"])
    lab.retire(server)
    return [Figure(title, values, "", Bar(8000, 4000, "less"))]


def row_idle(bench):
    title = "resident after start, one shard"
    if missing := need_penstock(bench, title):
        return missing
    lab, values, anon = bench.lab, [], []
    for _ in range(3):
        server = lab.gateway("idle", fresh=True)
        time.sleep(2)
        values.append(server.status_kb("VmRSS") / 1024)
        anon.append(server.status_kb("RssAnon") / 1024)
        lab.retire(server)
    floor = lab.path("floor")
    os.makedirs(floor, exist_ok=True)
    done = subprocess.run([os.path.join(lab.build, "penstock-floor"), floor],
                          capture_output=True, text=True, check=True)
    loaded, opened = (int(kb) / 1024 for kb in done.stdout.split())
    return [
        Figure(title, values, "MB", Bar(24, 12, "less"),
               note=f"{statistics.median(anon):.1f} MB of it anonymous"),
        Figure("RocksDB's floor: a program that opens an empty one", [opened], "MB",
               note=f"{loaded:.1f} MB before it opens it"),
        Figure("nginx, haproxy after start", [
            (lab.nginx.status_kb("VmRSS") + lab.haproxy.status_kb("VmRSS")) / 1024], "MB",
               note=f"nginx {lab.nginx.status_kb('VmRSS') / 1024:.1f}, "
                    f"haproxy {lab.haproxy.status_kb('VmRSS') / 1024:.1f}, all processes"),
    ]


def row_streams(bench):
    """Growth over a process that has served a few streams, so that its rings are there already."""
    conns = 9500 if bench.seconds >= 1 else 2000
    figures = []
    for name, (server, port) in bench.variants("plain").items():
        if name == "haproxy":
            continue  # its descriptor limit of two a stream is the same, its figure was not asked for
        if name == "penstock":
            server = bench.lab.gateway("streams", fresh=True)
            port = server.port
        warm_up = ["--mode", "stream", "--interval-us", 200000]
        try:
            bench.load(server, port, *warm_up, "--conns", 50, seconds=1)
            result = bench.load(server, port, "--mode", "stream", "--conns", conns,
                                "--interval-us", 3000000, seconds=4, warm=4)
        except Failed as error:
            if name == "penstock":
                raise
            bench.warn(f"{name} did not carry {conns:,} streams: {error}")
            continue
        watch = result["watch"]["proxy"]
        grown = (watch["rss_kb"] - watch["rss_kb_before"]) / conns
        figures.append(Figure(f"resident memory a stream, {conns:,} idle streams: {name}", [grown], "KB",
                              Bar(6, 3, "less") if name == "penstock" else None))
        if name == "penstock":
            bench.lab.retire(server)
    return figures


def row_bodies(bench):
    title = "64 connections with 150 KB bodies"
    if missing := need_penstock(bench, title):
        return missing
    server = bench.lab.gateway("bodies", fresh=True)
    options = ["--mode", "closed", "--conns", 64]
    bench.load(server, server.port, *options, seconds=3)
    time.sleep(3)
    warmed = server.status_kb("VmRSS") / 1024
    server.forget_peak()
    seconds = 60 if bench.seconds >= 1 else 5
    bench.load(server, server.port, *options, "--body-bytes", 150 * 1024, seconds=seconds)
    peak = server.status_kb("VmHWM") / 1024
    time.sleep(10)
    after = server.status_kb("VmRSS") / 1024
    bench.lab.retire(server)
    return [
        Figure(f"{title}, {seconds} s: peak resident", [peak], "MB", Bar(100, 64, "less")),
        Figure(f"{title}: after / warmed idle", [after / warmed], "", Bar(1.1, 1.1, "less"),
               note=f"{after:.1f} MB after, {warmed:.1f} MB before"),
    ]


# In the order of the table. Each returns its figures.
ROWS = {
    "json": row_json,
    "json-log": row_json_log,
    "sse": row_sse,
    "sse-2000": row_sse_2000,
    "tls": row_tls,
    "body": row_body,
    "convert": row_convert,
    "latency": row_latency,
    "spin": row_spin,
    "syscalls": row_syscalls,
    "callgrind": row_callgrind,
    "idle": row_idle,
    "streams": row_streams,
    "bodies": row_bodies,
}
