"""What the four formats of the strict vendor share: refusals, and checks of JSON that end in one."""

import hashlib
import json


PIECES_MAX = 40


class Refusal(Exception):
    """A request that the vendor does not take. Each format writes it in its own shape."""

    def __init__(self, message, status=400, kind=None, code=None, param=None):
        super().__init__(message)
        self.message, self.status, self.kind = message, status, kind
        self.code, self.param = code, param


def compact(value):
    """The text by which two values are compared: their own order of keys, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sorted_text(value):
    """The same for objects whose order of keys means nothing, such as a call's arguments."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def without_marks(value):
    """A copy without what only steers a cache, which no vendor counts as a part of the prefix."""
    if isinstance(value, dict):
        return {name: without_marks(inner) for name, inner in value.items()
                if name not in ("cache_control", "prompt_cache_breakpoint")}
    if isinstance(value, list):
        return [without_marks(inner) for inner in value]
    return value


def digest(*texts):
    """16 hex digits that stand for these texts and their borders."""
    state = hashlib.sha256()
    for text in texts:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()[:16]


def letters(seed, length):
    """Letters and digits that follow from the seed."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = int.from_bytes(hashlib.sha512(seed.encode()).digest(), "big")
    text = ""
    for _ in range(length):
        number, at = divmod(number, len(alphabet))
        text += alphabet[at]
    return text


def pieces(text, seed):
    """The text cut as a vendor's stream cuts it: uneven, never in one piece where two are possible."""
    cut, at, number = [], 0, int(digest(seed, text), 16)
    least = 1 + len(text) // PIECES_MAX
    while at < len(text):
        size = least + number % 11
        number = number // 11 or 987654321
        cut.append(text[at:at + size])
        at += size
    return cut


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)
