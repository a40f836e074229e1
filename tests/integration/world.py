"""A machine that a test has in hand: full and failing disks, clocks that jump, threads that hang,
name servers that lie. world.c, compiled on the spot, stands before the C library of one gateway.

    world = World()
    gateway = self.gateway(env=world.env)
    world.write_errno = errno.ENOSPC
"""

import ctypes
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))


class _Settings(ctypes.Structure):
    """struct world of world.c"""

    _fields_ = [("write_errno", ctypes.c_int32), ("sync_errno", ctypes.c_int32),
                ("wall_offset_s", ctypes.c_int64), ("dns_port", ctypes.c_int32),
                ("held", ctypes.c_int32), ("failures", ctypes.c_int32), ("busiest_ns", ctypes.c_int64),
                ("drag_ms", ctypes.c_int32), ("drag", ctypes.c_char * 16),
                ("hold", ctypes.c_char * 16), ("watch", ctypes.c_char * 16), ("resolv_conf", ctypes.c_char * 256)]


class World:
    folder = None  # of the compiled library; one a process

    @classmethod
    def library(cls):
        if cls.folder is None:
            cls.folder = tempfile.TemporaryDirectory(prefix="penstock-world-")
            subprocess.run([os.environ.get("CC", "cc"), "-std=gnu17", "-O1", "-fPIC", "-shared", "-Wall", "-Werror",
                            "-o", os.path.join(cls.folder.name, "world.so"), os.path.join(HERE, "world.c"),
                            "-ldl"], check=True, timeout=60)
        return os.path.join(cls.folder.name, "world.so")

    def __init__(self):
        library = self.library()
        file = tempfile.NamedTemporaryFile(dir=self.folder.name, delete=False)
        file.write(bytes(ctypes.sizeof(_Settings)))
        file.flush()
        self.map = mmap.mmap(file.fileno(), ctypes.sizeof(_Settings))
        self.__dict__["settings"] = _Settings.from_buffer(self.map)
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": library, "PENSTOCK_TEST_WORLD": file.name,
                    "ASAN_OPTIONS": asan + (":" if asan else "") + "verify_asan_link_order=0"}

    def __setattr__(self, name, value):
        if name in dict(_Settings._fields_):
            setattr(self.settings, name, value)
        else:
            self.__dict__[name] = value

    def __getattr__(self, name):
        return getattr(self.__dict__["settings"], name)

    def name_server(self, server):
        """Questions of the gateway go to `server`, a NameServer."""
        path = os.path.join(self.folder.name, f"resolv-{server.addr[1]}.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\noptions ndots:1\n")
        self.resolv_conf, self.dns_port = path.encode(), server.addr[1]


class NameServer:
    """A DNS server over UDP. `answers` maps a name to a list of addresses, or to a function of the
    question's number that gives them; an absent name gets NXDOMAIN, None gets silence."""

    def __init__(self, answers, ttl=1):
        self.answers, self.ttl, self.asked = answers, ttl, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.addr = self.sock.getsockname()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                question, who = self.sock.recvfrom(2048)
                reply = self._answer(question)
                if reply:
                    self.sock.sendto(reply, who)
            except OSError:
                return

    def _answer(self, question):
        if len(question) < 17:
            return None  # the end of the socket
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii"))
            at += question[at] + 1
        name, (kind,) = ".".join(labels).lower(), struct.unpack("!H", question[at + 1 : at + 3])
        self.asked.append((name, kind))
        found = self.answers.get(name, [])
        if callable(found):
            found = found(len(self.asked))
        if found is None:
            return None
        if isinstance(found, bytes):
            return question[:2] + found
        wanted = [address for address in found if (":" in address) == (kind == 28)] if kind in (1, 28) else []
        code = 0 if name in self.answers else 3
        reply = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(wanted), 0, 0) + question[12 : at + 5]
        for address in wanted:
            data = socket.inet_pton(socket.AF_INET6 if kind == 28 else socket.AF_INET, address)
            reply += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data
        return reply

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(2)
