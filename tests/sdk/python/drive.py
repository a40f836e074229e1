"""Holds conversations through the vendors' Python clients, as told line by line on standard input.

    {"id": 1, "do": "open", "talk": "a", "format": "openai", "url": ..., "key": ..., "model": ...,
     "system": ..., "tools": [{"name", "about", "schema"}], "thinks": true, "cap": 100, "schema": {...},
     "extra": {members of the request in the format's own words; tools are added to the others}}
    {"id": 2, "do": "step", "talk": "a", "stream": true, "user": "...", "images": ["base64"],
     "parts": [of the format's own]}
    {"id": 3, "do": "step", "talk": "a", "stream": false,
     "results": [{"text": ..., "failed": false, "parts": [of the format's own, in place of the text]}]}

Each line is answered by one, `{"id": ..., "answer": {...}}` or `{"id": ..., "error": {...}}`. What was
said so far is kept as the client gave it and sent again as it is, which is what programs do. A stream
goes through the client's own accumulator. Different talks go on side by side. Where a talk was opened
with `whole`, an answer has all that the client made of it. A call's arguments are a text where the
tool takes free text, or where they are no JSON.
"""

import concurrent.futures
import inspect
import json
import logging
import sys
import threading

import anthropic
import openai
from google import genai

TIMEOUT_S = 60
TALKS_MAX = 16
logging.getLogger("google_genai").setLevel(logging.ERROR)  # its advice is about functions of Python's


clients = {}  # to make one takes longer than to ask it
clients_lock = threading.Lock()


def client_of(cls, job, **options):
    """The client of this kind for this address and key."""
    name = (cls, job["url"], job["key"])
    with clients_lock:
        if name not in clients:
            clients[name] = cls(api_key=job["key"], **options)
        return clients[name]


def sendable(item):
    """A message or an item as it may be sent again: the stream helper adds keys of its own, which
    the vendor refuses."""
    kept = item.model_dump(exclude_unset=True, mode="json")
    if isinstance(kept.get("content"), list):
        kept["content"] = [without_parsed(part) for part in kept["content"]]
    for call in kept.get("tool_calls") or []:
        if "function" in call:
            call["function"] = without_parsed(call["function"])
        call.pop("index", None)
    return without_parsed(kept)


def without_parsed(value):
    return {name: inner for name, inner in value.items() if name not in ("parsed", "parsed_arguments")}


def with_extra(ask, extra, method):
    """The request with what it has besides: what the client has no name for goes into the body."""
    out, known, other = dict(ask), inspect.signature(method).parameters, {}
    for name, value in (extra or {}).items():
        if name == "tools":
            value = out.get("tools", []) + value
        (out if name in known else other)[name] = value
    return {**out, "extra_body": other} if other else out


def arguments_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


class Chat:
    def __init__(self, job):
        self.client = client_of(openai.OpenAI, job, base_url=job["url"] + "/v1", max_retries=0,
                                timeout=TIMEOUT_S)
        self.said = [{"role": "system", "content": job["system"]}] if job.get("system") else []
        self.calls = []
        self.ask = {"model": job["model"]}
        if job.get("tools"):
            self.ask["tools"] = [
                {"type": "function", "function": {"name": tool["name"], "description": tool["about"],
                                                  "parameters": tool["schema"]}}
                for tool in job["tools"]]
        if job.get("thinks"):
            self.ask["reasoning_effort"] = "low"
        if job.get("cap"):
            self.ask["max_completion_tokens"] = job["cap"]
        if job.get("schema"):
            self.ask["response_format"] = {"type": "json_schema", "json_schema": {
                "name": "reply", "schema": job["schema"], "strict": True}}
        self.extra = job.get("extra")

    def user(self, text, images, parts):
        if not images and not parts:
            return [{"role": "user", "content": text}]
        return [{"role": "user", "content": [{"type": "text", "text": text}] + [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + image}}
            for image in images] + parts}]

    def results(self, results):
        return [{"role": "tool", "tool_call_id": call.id, "content": result.get("parts") or
                 ("Error: " if result["failed"] else "") + result["text"]}
                for call, result in zip(self.calls, results)]

    def step(self, new, stream):
        method = self.client.chat.completions.stream if stream else self.client.chat.completions.create
        ask = with_extra({**self.ask, "messages": self.said + new}, self.extra, method)
        if stream:
            with method(**ask, stream_options={"include_usage": True}) as events:
                for _ in events:
                    pass
                whole = events.get_final_completion()
        else:
            whole = method(**ask)
        message = whole.choices[0].message
        self.said += new + [sendable(message)]
        self.calls = message.tool_calls or []
        more = message.model_extra or {}
        return {"text": message.content or "", "refusal": message.refusal or "",
                "thought": more.get("reasoning_content") or "",
                "calls": [[call.custom.name, call.custom.input] if call.type == "custom" else
                          [call.function.name, arguments_of(call.function.arguments)]
                          for call in self.calls], "whole": whole,
                "finish": whole.choices[0].finish_reason, "usage": whole.usage.model_dump()}


class Responses:
    def __init__(self, job):
        self.client = client_of(openai.OpenAI, job, base_url=job["url"] + "/v1", max_retries=0,
                                timeout=TIMEOUT_S)
        self.said, self.calls = [], []
        self.ask = {"model": job["model"], "store": False}
        if job.get("system"):
            self.ask["instructions"] = job["system"]
        if job.get("tools"):
            self.ask["tools"] = [{"type": "function", "name": tool["name"], "description": tool["about"],
                                  "parameters": tool["schema"], "strict": False}
                                 for tool in job["tools"]]
        if job.get("thinks"):
            self.ask.update(reasoning={"effort": "low", "summary": "auto"},
                            include=["reasoning.encrypted_content"])
        if job.get("cap"):
            self.ask["max_output_tokens"] = job["cap"]
        if job.get("schema"):
            self.ask["text"] = {"format": {"type": "json_schema", "name": "reply",
                                           "schema": job["schema"], "strict": True}}
        self.extra = job.get("extra")

    def user(self, text, images, parts):
        content = [{"type": "input_text", "text": text}] + [
            {"type": "input_image", "image_url": "data:image/png;base64," + image, "detail": "auto"}
            for image in images] + parts
        return [{"role": "user", "content": content if images or parts else text}]

    def results(self, results):
        return [{"type": "tool_search_output", "call_id": call.call_id, "execution": "client",
                 "tools": result["parts"]} if call.type == "tool_search_call" else
                {"type": call.type + "_output", "call_id": call.call_id, "output": result.get("parts") or
                 ("Error: " if result["failed"] else "") + result["text"]}
                for call, result in zip(self.calls, results)]

    def step(self, new, stream):
        method = self.client.responses.stream if stream else self.client.responses.create
        ask = with_extra({**self.ask, "input": self.said + new}, self.extra, method)
        if stream:
            with method(**ask) as events:
                for _ in events:
                    pass
                whole = events.get_final_response()
        else:
            whole = method(**ask)
        if whole.error is not None:
            raise RuntimeError(f"the response failed: {whole.error.code}")
        self.said += new + [sendable(item) for item in whole.output]
        self.calls = [item for item in whole.output
                      if item.type in ("function_call", "custom_tool_call", "tool_search_call")]
        parts = [part for item in whole.output if item.type == "message" for part in item.content]
        return {"text": "".join(part.text for part in parts if part.type == "output_text"),
                "refusal": "".join(part.refusal for part in parts if part.type == "refusal"),
                "thought": "".join(part.text for item in whole.output if item.type == "reasoning"
                                   for part in item.summary),
                "calls": [["tool_search", call.arguments] if call.type == "tool_search_call" else
                          [call.name, call.input if call.type == "custom_tool_call" else
                           arguments_of(call.arguments)] for call in self.calls], "whole": whole,
                "finish": whole.incomplete_details.reason if whole.incomplete_details else whole.status,
                "usage": whole.usage.model_dump()}


class Messages:
    def __init__(self, job):
        self.client = client_of(anthropic.Anthropic, job, base_url=job["url"], max_retries=0,
                                timeout=TIMEOUT_S)
        self.said, self.calls = [], []
        self.ask = {"model": job["model"], "max_tokens": job.get("cap") or 8000}
        if job.get("system"):
            self.ask["system"] = job["system"]
        if job.get("tools"):
            self.ask["tools"] = [{"name": tool["name"], "description": tool["about"],
                                  "input_schema": tool["schema"]} for tool in job["tools"]]
        if job.get("thinks"):
            self.ask["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if job.get("schema"):
            self.ask["output_config"] = {"format": {"type": "json_schema", "schema": job["schema"]}}
        self.extra = job.get("extra")

    def user(self, text, images, parts):
        content = [{"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                "data": image}} for image in images]
        return [{"role": "user", "content": content + parts + [{"type": "text", "text": text}]}]

    def results(self, results):
        return [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id,
             "content": result.get("parts") or result["text"], "is_error": result["failed"]}
            for call, result in zip(self.calls, results)]}]

    def step(self, new, stream):
        method = self.client.messages.stream if stream else self.client.messages.create
        ask = with_extra({**self.ask, "messages": self.said + new}, self.extra, method)
        if stream:
            with method(**ask) as events:
                whole = events.get_final_message()
        else:
            whole = method(**ask)
        self.said += new + [{"role": "assistant", "content": whole.content}]
        self.calls = [block for block in whole.content if block.type == "tool_use"]
        return {"text": "".join(block.text for block in whole.content if block.type == "text"),
                "refusal": "",
                "thought": "".join(block.thinking for block in whole.content
                                   if block.type == "thinking"),
                "calls": [[call.name, call.input] for call in self.calls], "whole": whole,
                "finish": whole.stop_reason, "usage": whole.usage.model_dump()}


class Gemini:
    def __init__(self, job):
        self.client = client_of(genai.Client, job, http_options={
            "base_url": job["url"], "timeout": TIMEOUT_S * 1000, "api_version": "v1beta"})
        config = {}
        if job.get("system"):
            config["system_instruction"] = job["system"]
        if job.get("tools"):
            config["tools"] = [{"function_declarations": [
                {"name": tool["name"], "description": tool["about"],
                 "parameters_json_schema": tool["schema"]} for tool in job["tools"]]}]
        if job.get("thinks"):
            config["thinking_config"] = {"include_thoughts": True, "thinking_budget": 2048}
        if job.get("cap"):
            config["max_output_tokens"] = job["cap"]
        if job.get("schema"):
            config.update(response_mime_type="application/json", response_json_schema=job["schema"])
        for name, value in (job.get("extra") or {}).items():
            config[name] = config.get("tools", []) + value if name == "tools" else value
        self.chat = self.client.chats.create(model=job["model"], config=config)
        self.calls = []

    def user(self, text, images, parts):
        return [{"inline_data": {"mime_type": "image/png", "data": image}} for image in images] + parts + [
            {"text": text}]

    def results(self, results):
        return [{"function_response": {"name": call.name, "id": call.id, "response": {
            "error" if result["failed"] else "output": result["text"]}, **(
                {"parts": result["parts"]} if result.get("parts") else {})}}
            for call, result in zip(self.calls, results)]

    def step(self, new, stream):
        new = [genai.types.Part.model_validate(part) for part in new]
        if stream:
            chunks = list(self.chat.send_message_stream(new))
        else:
            chunks = [self.chat.send_message(new)]
        parts, finish = [], None
        for chunk in chunks:
            for candidate in chunk.candidates or []:
                parts += (candidate.content and candidate.content.parts) or []
                finish = candidate.finish_reason or finish
        self.calls = [part.function_call for part in parts if part.function_call]
        whole, kept = self.chat.get_history(), self.chat.get_history(curated=True)
        return {"text": "".join(part.text or "" for part in parts if not part.thought), "refusal": "",
                "thought": "".join(part.text or "" for part in parts if part.thought),
                "calls": [[call.name, call.args or {}] for call in self.calls], "whole": chunks,
                "finish": finish.value if finish else None, "kept": len(whole) == len(kept),
                "usage": chunks[-1].usage_metadata.model_dump(mode="json")}


KINDS = {"openai": Chat, "responses": Responses, "anthropic": Messages, "gemini": Gemini}


def failure(error):
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    code = getattr(error, "code", None)
    return {"class": type(error).__name__, "message": str(error)[:2000],
            "code": code if isinstance(code, str) else None,
            "status": status if isinstance(status, int) else None,
            "vendors": isinstance(error, (openai.APIError, anthropic.APIError, genai.errors.APIError))}


class Talk:
    """One conversation; its steps come one after another."""

    def __init__(self, job):
        self.kind, self.whole = KINDS[job["format"]](job), job.get("whole")

    def step(self, job):
        new = (self.kind.user(job["user"], job.get("images", []), job.get("parts", [])) if "user" in job
               else self.kind.results(job["results"]))
        answer = self.kind.step(new, job["stream"])
        whole = answer.pop("whole")
        if self.whole:
            answer["whole"] = [one.model_dump(mode="json", by_alias=True) for one in whole] if isinstance(
                whole, list) else whole.model_dump(mode="json")
        return answer


def main():
    talks, lock = {}, threading.Lock()

    def tell(value):
        with lock:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()

    def do(job):
        try:
            if job["do"] == "open":
                talks[job["talk"]] = Talk(job)
                answer = {}
            elif job["do"] == "close":
                talks.pop(job["talk"], None)
                answer = {}
            else:
                answer = talks[job["talk"]].step(job)
            tell({"id": job["id"], "answer": answer})
        except Exception as error:  # whatever a client raises is what we are here to see
            tell({"id": job["id"], "error": failure(error)})

    with concurrent.futures.ThreadPoolExecutor(TALKS_MAX) as pool:
        for line in sys.stdin:
            pool.submit(do, json.loads(line))


if __name__ == "__main__":
    main()
