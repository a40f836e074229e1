"""Clients that keep of an answer what a program needs and no more: its text and its calls, whose
arguments they write in their own way. Thoughts, signatures and members that the format does not have
are lost, as in most programs that do not use a vendor's own client."""

import json
import random
import urllib.request

from driver import ENDS, plain_usage

WAIT_S = 60
BUDGET, CAP = 2048, 32768


class Driver:
    def __init__(self):
        self.language = "forgetful"

    def talk(self, form, url, key, model, **options):
        return {"openai": Chat, "anthropic": Messages}[form](url, key, model, **options)

    def close(self):
        pass


class Talk:
    form = path = ""

    def __init__(self, url, key, model, thinks, system, tools):
        self.url, self.key, self.model = url + self.path, key, model
        self.thinks, self.system, self.tools = thinks, system, tools
        self.messages, self.calls, self.rng = [], [], random.Random(5)

    def ask(self, text, stream, images=()):
        self.messages.append(self.question(text, images))
        return self.step(stream)

    def results(self, results, stream):
        self.messages += self.answers(results)
        return self.step(stream)

    def close(self):
        pass

    def args(self, text):
        """The same arguments, spelt anew."""
        value = json.loads(text or "{}")
        if self.rng.random() < 0.5:
            value = {name: value[name] for name in sorted(value, reverse=True)}
        return json.dumps(value, ensure_ascii=self.rng.random() < 0.5,
                          separators=self.rng.choice([(",", ":"), (", ", ": ")]))

    def step(self, stream):
        request = urllib.request.Request(self.url, json.dumps({
            "model": self.model, "stream": stream, "messages": self.history(), **self.settings()}).encode(), {
                "authorization": f"Bearer {self.key}", "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            data = answer.read().decode()
        if stream:
            events = [json.loads(line[6:]) for line in data.split("\n")
                      if line.startswith("data: ") and line != "data: [DONE]"]
            text, calls, finish, usage = self.collect(events)
        else:
            text, calls, finish, usage = self.whole(json.loads(data))
        self.calls = calls
        self.messages.append(self.kept(text, calls))
        return {"text": text, "calls": [[name, json.loads(args or "{}")] for _, name, args in calls],
                "finish": ENDS[self.form][finish], "usage": plain_usage(self.form, usage)}


class Chat(Talk):
    form, path = "openai", "/v1/chat/completions"

    def history(self):
        return [{"role": "system", "content": self.system}, *self.messages]

    def settings(self):
        return {"reasoning_effort": "high", "stream_options": {"include_usage": True}, "tools": [
            {"type": "function", "function": {"name": tool["name"], "description": tool["about"],
                                              "parameters": tool["schema"]}} for tool in self.tools]}

    def question(self, text, images):
        return {"role": "user", "content": [{"type": "text", "text": text}, *(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + image}}
            for image in images)]}

    def answers(self, results):
        return [{"role": "tool", "tool_call_id": call[0],
                 "content": "Error: " + text if failed else text}
                for call, (text, failed) in zip(self.calls, results)]

    def kept(self, text, calls):
        message = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [{"id": ident, "type": "function", "function": {
                "name": name, "arguments": self.args(args)}} for ident, name, args in calls]
        return message

    def whole(self, body):
        choice = body["choices"][0]
        message = choice["message"]
        return (message.get("content") or "", [
            [call["id"], call["function"]["name"], call["function"]["arguments"]]
            for call in message.get("tool_calls") or []], choice["finish_reason"], body["usage"])

    def collect(self, events):
        text, calls, finish, usage = "", [], None, {}
        for event in events:
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                finish = choice.get("finish_reason") or finish
                delta = choice["delta"]
                text += delta.get("content") or ""
                for call in delta.get("tool_calls") or []:
                    if call["index"] == len(calls):
                        calls.append([call["id"], call["function"]["name"], ""])
                    calls[call["index"]][2] += call["function"].get("arguments") or ""
        return text, calls, finish, usage


class Messages(Talk):
    form, path = "anthropic", "/v1/messages"

    def history(self):
        return self.messages

    def settings(self):
        return {"max_tokens": CAP, "system": self.system,
                "thinking": {"type": "enabled", "budget_tokens": BUDGET},
                "tools": [{"name": tool["name"], "description": tool["about"],
                           "input_schema": tool["schema"]} for tool in self.tools]}

    def question(self, text, images):
        return {"role": "user", "content": [{"type": "text", "text": text}, *(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}}
            for image in images)]}

    def answers(self, results):
        return [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call[0], "content": text, "is_error": failed}
            for call, (text, failed) in zip(self.calls, results)]}]

    def kept(self, text, calls):
        return {"role": "assistant", "content": [
            *([{"type": "text", "text": text}] if text else []),
            *({"type": "tool_use", "id": ident, "name": name, "input": json.loads(self.args(args))}
              for ident, name, args in calls)]}

    def whole(self, body):
        text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
        return (text, [[block["id"], block["name"], json.dumps(block["input"])]
                       for block in body["content"] if block["type"] == "tool_use"],
                body["stop_reason"], body["usage"])

    def collect(self, events):
        text, calls, finish, usage = "", [], None, {}
        for event in events:
            kind = event["type"]
            if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
                calls.append([event["content_block"]["id"], event["content_block"]["name"], ""])
            elif kind == "content_block_delta":
                text += event["delta"].get("text") or ""
                if event["delta"]["type"] == "input_json_delta":
                    calls[-1][2] += event["delta"]["partial_json"]
            elif kind == "message_delta":
                finish, usage = event["delta"]["stop_reason"], event["usage"]
        return text, calls, finish, usage
