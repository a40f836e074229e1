"""Starts what the bench measures, and what stands around it: all on loopback, all pinned."""

import os
import resource
import secrets
import signal
import socket
import string
import subprocess
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
START_S = 20
STOP_S = 20


class Failed(Exception):
    pass


given_ports = set()  # the system may name a port twice while nobody listens there yet


def free_port():
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        if port not in given_ports:
            given_ports.add(port)
            return port


def cores():
    """(the proxy's core, the vendor's, the load's): on two cores the last two share one."""
    have = sorted(os.sched_getaffinity(0))
    if len(have) < 2:
        raise Failed("the bench needs two cores: one for the proxy, one for all else")
    return have[1], have[0], have[2] if len(have) > 2 else have[0]


def fill(template, into, values):
    """Writes a configuration from conf/; a line whose value is empty is left out."""
    with open(os.path.join(HERE, "conf", template), encoding="utf-8") as file:
        lines = file.read().splitlines()
    out = []
    for line in lines:
        if any(f"@{name}@" in line and value == "" for name, value in values.items()):
            continue
        for name, value in values.items():
            line = line.replace(f"@{name}@", str(value))
        out.append(line)
    with open(into, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
    return into


def client_key():
    """A key of the gateway's form: prefix, 32 random bytes in base62, a CRC over both."""
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase

    def base62(number, length):
        text = ""
        for _ in range(length):
            number, digit = divmod(number, 62)
            text = digits[digit] + text
        return text

    text = "sk-pst-" + base62(int.from_bytes(secrets.token_bytes(32), "big"), 43)
    return text + base62(zlib.crc32(text.encode()), 6)


class Server:
    """A process on one core, with its own log; gone when stop() returns."""

    def __init__(self, name, command, core, log, port, before=()):
        self.name, self.port, self.log = name, port, log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *before, *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                preexec_fn=raise_descriptor_limit,
            )
        self.wait_until_up()

    def wait_until_up(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        with open(self.log, encoding="utf-8", errors="replace") as file:
            raise Failed(f"{self.name} did not start:\n{file.read()[-4000:]}")

    @property
    def pid(self):
        return self.process.pid

    def pids(self):
        """The process and its children: nginx and HAProxy work in theirs."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                        todo += [int(child) for child in file.read().split()]
            except FileNotFoundError:
                continue
        return found

    def status_kb(self, field):
        """A figure of /proc/PID/status, summed over the processes."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(field + ":"))
        return total

    def forget_peak(self):
        for pid in self.pids():
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)  # no need to drain
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Lab:
    """The vendor, the references and as many gateways as the rows ask for."""

    def __init__(self, home, build, penstock):
        self.home, self.build, self.penstock_bin = home, build, penstock
        self.proxy_core, self.vendor_core, self.load_core = cores()
        self.key = client_key()
        self.servers, self.gateways, self.forwarders = [], {}, {}
        self.make_certificates()
        ports = {
            name: free_port()
            for name in ("vendor", "vendor_tls", "nginx", "nginx_log", "nginx_tls", "nginx_body",
                         "haproxy", "haproxy_log", "haproxy_tls")
        }
        self.ports = ports
        self.vendor = self.start(
            "vendor", ports["vendor"], self.vendor_core, os.path.join(build, "penstock-vendor"),
            "--port", str(ports["vendor"]), "--tls-port", str(ports["vendor_tls"]),
            "--cert", self.path("vendor.pem"), "--key", self.path("vendor.key"),
        )
        values = {"home": home, **ports}
        os.makedirs(self.path("tmp"), exist_ok=True)
        conf = fill("nginx.conf", self.path("nginx.conf"), values)
        self.nginx = self.start("nginx", ports["nginx"], self.proxy_core,
                                "nginx", "-p", home, "-c", conf, "-g", "daemon off;")
        conf = fill("haproxy.cfg", self.path("haproxy.cfg"), values)
        self.haproxy = self.start("haproxy", ports["haproxy"], self.proxy_core,
                                  "haproxy", "-W", "-f", conf)

    def path(self, name):
        return os.path.join(self.home, name)

    def start(self, name, port, core, *command, before=()):
        server = Server(name, command, core, self.path(f"{name}.log"), port, before)
        self.servers.append(server)
        return server

    def make_certificates(self):
        """A CA and a P-256 certificate for `localhost`, for the length of the run."""

        def openssl(*args):
            done = subprocess.run(["openssl", *args], cwd=self.home, capture_output=True, text=True)
            if done.returncode != 0:
                raise Failed(f"openssl {args[0]}: {done.stderr}")

        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                "-subj", "/CN=bench CA", "-addext", "basicConstraints=critical,CA:TRUE")
        openssl("req", *curve, "-keyout", "vendor.key", "-out", "vendor.csr",
                "-subj", "/CN=localhost")
        with open(self.path("ext"), "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", "vendor.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "vendor.pem")

    def gateway(self, name="plain", fresh=False, before=(), **options):
        """The penstock with these options, started when it is first asked for."""
        if name in self.gateways and not fresh:
            return self.gateways[name]
        tls = options.get("tls", False)
        port, admin = free_port(), free_port()
        state = self.path(f"state-{name}")
        os.makedirs(state, exist_ok=True)
        vendor = (f"https://localhost:{self.ports['vendor_tls']}/v1" if tls
                  else f"http://127.0.0.1:{self.ports['vendor']}/v1")
        conf = fill("penstock.yaml", self.path(f"penstock-{name}.yaml"), {
            "backend": options.get("backend", "uring"), "spin_us": options.get("spin_us", ""),
            "data": port, "admin": admin, "state": state, "key": self.key,
            "access": options.get("access", "false"), "vendor_url": vendor,
            "ca_file": self.path("ca.pem") if tls else "",
        })
        server = self.start(f"penstock-{name}", port, self.proxy_core,
                            self.penstock_bin, "serve", "-c", conf, before=before)
        server.admin = admin
        self.gateways[name] = server
        return server

    def forward(self, name, *options):
        """The least that a proxy can be, in front of the vendor."""
        if name not in self.ports:
            self.ports[name] = free_port()
            command = [os.path.join(self.build, "penstock-forward"), "--port", self.ports[name],
                       "--to", self.ports["vendor"], "--cpu", self.proxy_core, *options]
            self.forwarders[name] = self.start(name, self.ports[name], self.proxy_core,
                                               *[str(part) for part in command])
        return self.forwarders[name]

    def retire(self, server):
        """Stops a gateway before the end, so that the next of its kind starts afresh."""
        server.stop()
        self.servers.remove(server)
        self.gateways = {name: s for name, s in self.gateways.items() if s is not server}

    def close(self):
        for server in reversed(self.servers):
            server.stop()

    def version_of(self, *command):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return "not there"
        return ((done.stdout + done.stderr).strip() or "unknown").splitlines()[0]

    def facts(self):
        """What a reader has to know of the machine before believing a number."""

        def read(path):
            try:
                with open(path, encoding="utf-8") as file:
                    return file.read().strip()
            except OSError:
                return "unknown"

        cpuinfo = read("/proc/cpuinfo")
        fields = dict(line.split(":", 1) for line in cpuinfo.split("\n\n")[0].splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in fields.items()}
        flags = set(fields.get("flags", "").split())
        wanted = ["aes", "pclmulqdq", "vaes", "avx2", "avx512bw", "sha_ni"]
        flaws = "/sys/devices/system/cpu/vulnerabilities"
        bad = [name for name in sorted(os.listdir(flaws)) if os.path.isdir(flaws)
               and not read(f"{flaws}/{name}").startswith("Not affected")] if os.path.isdir(flaws) else []
        facts = {
            "kernel": os.uname().release,
            "cpu": f"{fields.get('model name', 'unknown')}, {os.cpu_count()} cores",
            "cpu flags": " ".join(f for f in wanted if f in flags) or "none of interest",
            "mitigations": ", ".join(f"{name}: {read(f'{flaws}/{name}')}" for name in bad) or "none",
            "congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
            "cores": f"proxy {self.proxy_core}, vendor {self.vendor_core}, load {self.load_core}",
            "nginx": self.version_of("nginx", "-v"),
            "haproxy": self.version_of("haproxy", "-v"),
            "openssl": self.version_of("openssl", "version"),
        }
        if self.penstock_bin:
            facts["penstock"] = self.version_of(self.penstock_bin, "version")
        return facts
