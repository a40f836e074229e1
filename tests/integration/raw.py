"""Sockets without manners: a client that sends exactly the bytes it is given and says exactly what
came back and when, and a vendor that follows a script on every connection."""

import json
import socket
import ssl
import struct
import threading
import time

READ_BYTES = 64 * 1024
TIMEOUT_S = 30


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def hold_port():
    """A socket on a port that nobody else is given while it is open, and that a server may listen on.

    Servers share ports (SO_REUSEPORT), so two that were given the same one would not notice."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", free_port()))
    return sock


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class TlsSocket:
    """TLS over a socket whose two layers can be ended apart: a close_notify without a FIN, a FIN
    without a close_notify, bytes past the TLS layer."""

    def __init__(self, sock, context, server_name=None, server_side=False, session=None):
        self.raw = sock
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_side=server_side,
                                    server_hostname=server_name, session=session)
        self.clean = False  # the peer's close_notify was seen
        self.lock = threading.Lock()  # one may read while another sends
        self._step(self.tls.do_handshake)

    def _flush(self):
        data = self.out.read()
        if data:
            self.raw.sendall(data)

    def _call(self, call, *args):
        with self.lock:
            try:
                return call(*args)
            finally:
                self._flush()

    def _step(self, call, *args):
        while True:
            try:
                return self._call(call, *args)
            except ssl.SSLWantReadError:
                data = self.raw.recv(READ_BYTES)
                if data:
                    self.into.write(data)
                else:
                    self.into.write_eof()

    def recv(self, count):
        try:
            data = self._step(self.tls.read, count)
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLEOFError:
            return b""
        self.clean = self.clean or not data
        return data

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self._step(self.tls.write, view[:READ_BYTES]):]

    def close_notify(self):
        """Ends what we send, in the TLS layer alone."""
        try:
            self._call(self.tls.unwrap)
        except ssl.SSLError:
            pass  # it wants the peer's, which is not waited for

    def shutdown(self, how):
        if how != socket.SHUT_RD:
            try:
                self.close_notify()
            except OSError:
                pass
        self.raw.shutdown(how)

    def settimeout(self, seconds):
        self.raw.settimeout(seconds)

    def setsockopt(self, *args):
        self.raw.setsockopt(*args)

    def close(self):
        self.raw.close()


class Cut(AssertionError):
    """The peer ended, or reset, before what was being read was complete."""


class Stream:
    """Buffered reading of HTTP/1.1 off a socket, strict about its form."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def more(self):
        """Reads what has come; raises Cut at the end of the stream."""
        try:
            data = self.sock.recv(READ_BYTES)
        except ConnectionError as error:
            raise Cut(f"reset: {error}") from error
        if not data:
            raise Cut("end of stream")
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def head(self):
        """(first line, [(lower-case name, value)])"""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name == name.strip(), f"malformed field: {line!r}"
            fields.append((name.lower(), value.strip()))
        return lines[0], fields

    def chunks(self):
        """Yields the chunks of a body; raises Cut when it ends early."""
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while self.until(b"\r\n"):
                    pass
                return
            data = self.exactly(size)
            assert self.exactly(2) == b"\r\n", "a chunk without its line end"
            yield data


class Message:
    def __init__(self, first_line, fields):
        self.first_line, self.fields = first_line, fields
        self.body, self.complete, self.trouble = b"", False, None

    def all(self, name):
        return [value for field, value in self.fields if field == name.lower()]

    def get(self, name, otherwise=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else otherwise

    def json(self):
        return json.loads(self.body)


class Request(Message):
    def __init__(self, first_line, fields):
        super().__init__(first_line, fields)
        self.method, self.target, self.version = first_line.split(" ")


class Answer(Message):
    """`complete` tells a whole answer from a cut one; `trouble` says how it was cut. `pieces` are
    the body's parts as they came: (seconds since the request, bytes)."""

    def __init__(self, first_line, fields):
        super().__init__(first_line, fields)
        version, status, _ = (first_line + " ").split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), f"no status line: {first_line!r}"
        self.version, self.status = version, int(status)
        self.pieces = []

    def events(self):
        """The data of an SSE body's complete events."""
        found = []
        for block in self.body.decode("utf-8").split("\n\n")[:-1]:
            data = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
            if data:
                found.append("\n".join(data))
        return found


class Client:
    """A TCP or TLS connection to `addr`, or one to the Unix socket of that path."""

    def __init__(self, addr, timeout=TIMEOUT_S, tls=None, server_name="localhost", recv_buffer=None):
        local = isinstance(addr, str)
        sock = socket.socket(socket.AF_UNIX if local else
                             socket.AF_INET6 if ":" in addr[0] else socket.AF_INET)
        if recv_buffer:  # before connecting: it decides the window that is offered
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer)
        sock.settimeout(timeout)
        sock.connect(addr)
        if not local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = TlsSocket(sock, tls, server_name) if tls else sock
        self.stream = Stream(self.sock)
        self.sent_at = time.monotonic()
        self.method = "GET"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Exactly these bytes."""
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        self.sent_at = time.monotonic()

    def drip(self, data, piece=1, gap_s=0.01):
        """The bytes in pieces, each a segment of its own."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        for at in range(0, len(data), piece):
            self.send(data[at : at + piece])
            time.sleep(gap_s)

    def request(self, method, path, body=None, headers=()):
        """A well-formed request; `body` is bytes, or anything JSON can hold."""
        if body is not None and not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: gateway.test"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        self.method = method
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def head(self):
        """The next answer's head, interim ones (1xx) skipped; its body is not read yet."""
        while True:
            answer = Answer(*self.stream.head())
            if answer.status >= 200:
                return answer

    def pieces(self, answer):
        """Yields the body's parts as they come and ends with it; raises Cut when it is cut."""
        encoding, length = answer.get("transfer-encoding"), answer.get("content-length")
        assert encoding is None or length is None, "both a length and a transfer encoding"
        if self.method == "HEAD" or answer.status in (204, 304):
            return
        if encoding is not None:
            assert encoding.lower() == "chunked", f"transfer-encoding: {encoding}"
            yield from self.stream.chunks()
        elif length is not None:
            left = int(length)
            while left > 0:
                if not self.stream.buffer:
                    self.stream.more()
                data = self.stream.exactly(min(left, len(self.stream.buffer)))
                left -= len(data)
                yield data
        else:  # delimited by the end of the connection
            while True:
                if self.stream.buffer:
                    yield self.stream.exactly(len(self.stream.buffer))
                try:
                    self.stream.more()
                except Cut as end:
                    if "reset" in str(end):
                        raise
                    return

    def answer(self):
        """The next answer, read to its end or to where it was cut."""
        answer = self.head()
        try:
            for piece in self.pieces(answer):
                answer.pieces.append((time.monotonic() - self.sent_at, piece))
                answer.body += piece
            answer.complete = True
        except Cut as cut:
            answer.trouble = str(cut)
        return answer

    def ended(self, seconds=TIMEOUT_S):
        """How the peer ends without another byte: "fin" or "reset"; None if it does not in time."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(READ_BYTES)
            assert not data and not self.stream.buffer, f"bytes where none were due: {data[:200]!r}"
            return "fin"
        except TimeoutError:
            return None
        except ConnectionError:
            return "reset"

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        reset(self.sock)

    def close(self):
        self.sock.close()


class Peer:
    """One accepted connection, in the hands of a vendor's script."""

    def __init__(self, vendor, sock, number):
        self.vendor, self.sock, self.number = vendor, sock, number
        self.stream = Stream(sock)

    def request(self):
        """Reads one whole request and keeps it in vendor.requests."""
        request = Request(*self.stream.head())
        length, encoding = request.get("content-length"), request.get("transfer-encoding")
        assert length is None or encoding is None, "a request with both lengths"
        if encoding is not None:
            request.body = b"".join(self.stream.chunks())
        elif length is not None:
            request.body = self.stream.exactly(int(length))
        request.complete = True
        self.vendor.requests.append(request)
        return request

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def drip(self, data, piece=1, gap_s=0.01):
        data = data.encode("latin-1") if isinstance(data, str) else data
        for at in range(0, len(data), piece):
            self.send(data[at : at + piece])
            time.sleep(gap_s)

    def answer(self, body, status="200 OK", headers=(), kind="application/json"):
        """A whole answer with a length."""
        if not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def sse_head(self, headers=()):
        lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def last_chunk(self):
        self.send(b"0\r\n\r\n")

    def answer_sse(self, events, gap_s=0, headers=()):
        self.sse_head(headers)
        for event in events:
            self.chunk(event)
            time.sleep(gap_s)
        self.last_chunk()

    def hang(self, seconds=TIMEOUT_S):
        """Says nothing until the other side ends or the vendor closes: how it ended, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.vendor.closing:
            self.sock.settimeout(0.05)
            try:
                if not self.sock.recv(READ_BYTES):
                    return "fin"
            except TimeoutError:
                continue
            except ConnectionError:
                return "reset"
        return None

    def reset(self):
        reset(self.sock)


class Vendor:
    """Runs script(peer) in a thread for each connection, and closes it when the script returns.

    scripts: a function, or a list of them: the n-th connection gets the n-th, later ones the last.
    A script usually begins with peer.request(); `serving(f)` makes one that answers every request.
    An exception in a script (other than the far end going away) fails the test at close().
    """

    def __init__(self, scripts, tls=None, backlog=128, port=0):
        self.scripts = scripts if isinstance(scripts, (list, tuple)) else [scripts]
        self.tls, self.closing = tls, False
        self.requests, self.troubles, self.peers, self.threads = [], [], [], []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=backlog)
        self.listener.settimeout(0.1)
        self.addr = self.listener.getsockname()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self):
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.addr[1]}"

    @property
    def connections(self):
        return len(self.peers)

    def _accept(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.settimeout(TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock, len(self.peers))
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(peer,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, peer):
        try:
            if self.tls:
                peer.sock = TlsSocket(peer.sock, self.tls, server_side=True)
                peer.stream = Stream(peer.sock)
            self.scripts[min(peer.number, len(self.scripts) - 1)](peer)
        except (Cut, ConnectionError, ssl.SSLError):
            pass  # the far end went away; a script that minds looks for it
        except TimeoutError as error:
            if not self.closing:
                self.troubles.append(error)
        except Exception as error:  # the test that owns the script has to fail for it
            if not self.closing:
                self.troubles.append(error)
        finally:
            try:
                peer.sock.close()
            except OSError:
                pass

    def close(self):
        self.closing = True
        self.listener.close()
        for peer in self.peers:
            try:
                getattr(peer.sock, "raw", peer.sock).shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.thread.join(5)
        for thread in self.threads:
            thread.join(5)
        if self.troubles:
            raise AssertionError(f"a vendor's script failed: {self.troubles[0]!r}") from self.troubles[0]


def serving(respond):
    """A script that answers request after request: respond(peer, request)."""

    def script(peer):
        while True:
            respond(peer, peer.request())

    return script
