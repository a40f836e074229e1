"""Speaks with the programs that hold conversations through the vendors' clients."""

import concurrent.futures
import itertools
import json
import os
import subprocess
import threading
from pathlib import Path

SDK = Path(__file__).parent.parent / "sdk"
PROGRAMS = {
    "python": [str(SDK / "python/.venv/bin/python"), str(SDK / "python/drive.py")],
    "node": [str(SDK / "node/node_modules/.bin/node"), str(SDK / "node/drive.mjs")],
}
ANSWER_S = 60
FORMATS = ("openai", "responses", "anthropic", "gemini")
NAMES = {"openai": "Chat", "responses": "Responses", "anthropic": "Messages", "gemini": "Gemini"}

# What an end is called in each format: stop, calls, length, refused.
ENDS = {
    "openai": {"stop": "stop", "tool_calls": "calls", "length": "length",
               "content_filter": "filtered"},
    "responses": {"completed": "stop", "max_output_tokens": "length", "content_filter": "filtered"},
    "anthropic": {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "calls",
                  "max_tokens": "length", "refusal": "filtered"},
    "gemini": {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "filtered"},
}


class Failed(Exception):
    """What a client raised."""

    def __init__(self, said):
        super().__init__(f"{said['class']} {said['status']}: {said['message']}")
        self.kind, self.status, self.message = said["class"], said["status"], said["message"]
        self.code = said["code"]        # where the client tells one
        self.vendors = said["vendors"]  # of the classes that the client documents


class Driver:
    """One such program. Its talks may be used from different threads."""

    def __init__(self, language):
        self.language = language
        command = PROGRAMS[language]
        if not Path(command[0]).exists():
            raise AssertionError(f"run tests/sdk/{language}/setup first")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, cwd=os.path.dirname(command[1]))
        self.numbers, self.waiting, self.lock = itertools.count(1), {}, threading.Lock()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            with self.lock:
                future = self.waiting.pop(said["id"])
            future.set_result(said)

    def tell(self, **job):
        future = concurrent.futures.Future()
        with self.lock:
            job["id"] = next(self.numbers)
            self.waiting[job["id"]] = future
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
        said = future.result(ANSWER_S)
        if "error" in said:
            raise Failed(said["error"])
        return said["answer"]

    def talk(self, form, url, key, model, **options):
        return Talk(self, form, url, key, model, options)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()


class Talk:
    """One conversation."""

    def __init__(self, driver, form, url, key, model, options):
        self.driver, self.form = driver, form
        self.name = str(next(driver.numbers))
        driver.tell(do="open", talk=self.name, format=form, url=url, key=key, model=model, **options)

    def ask(self, text, stream, images=(), parts=()):
        """`parts` are of the format's own."""
        return self._plain(self.driver.tell(do="step", talk=self.name, user=text, stream=stream,
                                            images=list(images), parts=list(parts)))

    def results(self, results, stream):
        """results: (text, failed) a call, in the order of the calls, and parts in the text's place
        where there are any."""
        return self._plain(self.driver.tell(do="step", talk=self.name, stream=stream, results=[
            {"text": text, "failed": failed, **({"parts": parts[0]} if parts else {})}
            for text, failed, *parts in results]))

    def close(self):
        self.driver.tell(do="close", talk=self.name)

    def _plain(self, answer):
        """The answer in words that do not depend on the format."""
        end = ENDS[self.form].get(answer["finish"], f"unknown end {answer['finish']!r}")
        if answer["calls"] and end == "stop":
            end = "calls"
        return {**answer, "finish": end, "usage": plain_usage(self.form, answer["usage"] or {})}


def plain_usage(form, use):
    def of(path):
        value = use
        for name in path.split("."):
            value = (value or {}).get(name)
        return value or 0

    if form == "openai":
        return {"input": of("prompt_tokens"), "cached": of("prompt_tokens_details.cached_tokens"),
                "output": of("completion_tokens"),
                "thought": of("completion_tokens_details.reasoning_tokens")}
    if form == "responses":
        return {"input": of("input_tokens"), "cached": of("input_tokens_details.cached_tokens"),
                "output": of("output_tokens"),
                "thought": of("output_tokens_details.reasoning_tokens")}
    if form == "anthropic":
        return {"input": of("input_tokens") + of("cache_read_input_tokens")
                + of("cache_creation_input_tokens"), "cached": of("cache_read_input_tokens"),
                "output": of("output_tokens"), "thought": of("output_tokens_details.thinking_tokens")}

    def either(name):  # Node keeps the wire's names, Python has its own
        snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
        return of(name) or of(snake)

    return {"input": either("promptTokenCount"), "cached": either("cachedContentTokenCount"),
            "output": either("candidatesTokenCount") + either("thoughtsTokenCount"),
            "thought": either("thoughtsTokenCount")}
