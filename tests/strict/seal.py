"""What binds a conversation to its vendor: signed thoughts, and prefixes that only grow."""

import base64
import hashlib
import hmac
import json
import os
import threading

from common import compact, digest, without_marks

MAGIC = b"SV1"
PADDING_BYTES = 300  # real ones are long


class Seals:
    """Makes and checks signatures. They hold what they sign, so nothing is kept here but counts."""

    def __init__(self, secret=None):
        self.secret = secret or os.urandom(32)

    def _mac(self, body):
        return hmac.new(self.secret, body, hashlib.sha256).digest()

    def sign(self, family, account, model, prefix, thought, mark=""):
        body = json.dumps({"f": family, "a": account, "m": model, "p": prefix,
                           "t": digest(thought), "k": mark}).encode()
        filler = hashlib.shake_256(body).digest(PADDING_BYTES)
        return base64.b64encode(MAGIC + self._mac(body) + filler + body).decode()

    def open(self, text, family):
        """What a signature says, or None when this vendor never made it or a byte is different."""
        try:
            raw = base64.b64decode(text, validate=True)
        except (ValueError, TypeError):
            return None
        if base64.b64encode(raw).decode() != text or not raw.startswith(MAGIC):
            return None
        mac, rest = raw[3:35], raw[35:]
        body = rest[PADDING_BYTES:]
        if rest[:PADDING_BYTES] != hashlib.shake_256(body).digest(PADDING_BYTES):
            return None
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        said = json.loads(body)
        return said if said["f"] == family else None


def prefix_texts(*parts):
    """The elements of a request in their order, as they are compared: system, tools, messages."""
    return [compact(without_marks(part)) for part in parts]


def prefix_digest(texts):
    return digest(*texts)


def grown(before, now):
    """Whether a list of tools is the one that it was, and more: a search among tools brings some along."""
    end = "]}]" if before.startswith('[{"functionDeclarations"') else "]"
    return before.endswith(end) and now.startswith(before[:-len(end)] + ",")


class Ledger:
    """What each conversation was, by account and by the marker in its first message."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = {}
        self.spent = {}

    def grow(self, account, family, marker, texts):
        """None, or (index, before, now) of the element that is not what it was."""
        with self.lock:
            before = self.seen.get((account, family, marker), [])
            for at, text in enumerate(before):
                if at >= len(texts) or not (texts[at] == text or at == 0 and grown(text, texts[0])):
                    return at, text, texts[at] if at < len(texts) else "(nothing)"
            self.seen[account, family, marker] = texts
            return None
