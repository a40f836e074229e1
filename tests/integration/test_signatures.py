"""Thoughts that come back: each to the account that made it, and none where the vendor refuses one."""

import json

from dialects import sse
from harness import GatewayTest, both_backends
from test_convert import serving

TAIL = "QkRSVU1NRVJfdGhpc19pc19sb25nX2Vub3VnaF90b19iZV9hX3NpZ25hdHVyZQ"


class Form:
    """What a format's thoughts look like: in answers, in histories."""

    def __init__(self, name, kind, path):
        self.name, self.kind, self.path = name, kind, path

    def account(self, name, vendor, **more):
        base = vendor.url + ("/v1" if self.kind == "openai" else "")
        return {"name": name, "type": self.kind, "base_url": base, "formats": [self.name],
                "api_key": "secret", "models": ["m"], "allow_private": True, **more}


class Messages(Form):
    def answer(self, sign):
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "thinking", "thought": "t", "thinking": "so", "signature": sign},
                            {"type": "text", "text": "hi"}],
                "stop_reason": "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 3, "output_tokens": 2}}

    def events(self, sign):
        def event(name, **more):
            return sse({"type": name, **more}, name)

        answer = self.answer(sign)
        return [event("message_start", message={**answer, "content": []}),
                event("content_block_start", index=0,
                      content_block={"type": "thinking", "thinking": "", "signature": ""}),
                event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "so"}),
                event("content_block_delta", index=0, delta={"type": "signature_delta",
                                                             "signature": sign}),
                event("content_block_stop", index=0),
                event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
                event("message_stop")]

    def turn(self, sign):
        return [{"role": "user", "content": "q"}, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "so", "signature": sign}, {"type": "text", "text": "hi"}]}]

    def bare(self):
        return [{"role": "user", "content": "q"}, {"role": "assistant", "content": [
            {"type": "text", "text": "hi"}]}]

    def body(self, turns, stream=False):
        return {"model": "m", "max_tokens": 64, "stream": stream,
                "messages": [*turns, {"role": "user", "content": "and?"}]}

    def turns(self, body):
        return body["messages"][:-1]

    REFUSED = {"type": "error", "error": {"type": "invalid_request_error", "message":
               "messages.1.content.0: Invalid `signature` in `thinking` block"}}
    DROPPED = "messages[1].content[0]"


class Responses(Form):
    def answer(self, sign):
        return {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
                "model": "m", "output": [
                    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sign},
                    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                     "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
                "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}

    def events(self, sign):
        def event(name, number, **more):
            return sse({"type": name, "sequence_number": number, **more}, name)

        answer = self.answer(sign)
        item, message = answer["output"]
        return [event("response.created", 0, response={**answer, "output": [], "status": "in_progress"}),
                event("response.output_item.added", 1, output_index=0,
                      item={**item, "encrypted_content": ""}),
                event("response.output_item.done", 2, output_index=0, item=item),
                event("response.output_item.added", 3, output_index=1, item={**message, "content": []}),
                event("response.output_text.delta", 4, output_index=1, content_index=0, delta="hi",
                      item_id="msg_1"),
                event("response.output_item.done", 5, output_index=1, item=message),
                event("response.completed", 6, response=answer)]

    def turn(self, sign):
        return [{"role": "user", "content": "q"},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sign},
                {"role": "assistant", "content": "hi"}]

    def bare(self):
        return [{"role": "user", "content": "q"}, {"role": "assistant", "content": "hi"}]

    def body(self, turns, stream=False):
        return {"model": "m", "stream": stream, "store": False, "include": ["reasoning.encrypted_content"],
                "input": [*turns, {"role": "user", "content": "and?"}]}

    def turns(self, body):
        return body["input"][:-1]

    REFUSED = {"error": {"message": "The encrypted content for item rs_1 could not be verified.",
                         "type": "invalid_request_error", "param": None,
                         "code": "invalid_encrypted_content"}}
    DROPPED = "input[1]"


class Gemini(Form):
    def answer(self, sign):
        return {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "hi", "thoughtSignature": sign}]}}], "modelVersion": "m", "responseId": "r",
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}}

    def events(self, sign):
        return [sse({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "h"}]}}]}),
                sse(self.answer(sign))]

    def turn(self, sign):
        return [{"role": "user", "parts": [{"text": "q"}]},
                {"role": "model", "parts": [{"text": "hi", "thoughtSignature": sign}]}]

    def bare(self):
        return [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "hi"}]}]

    def body(self, turns, stream=False):
        return {"contents": [*turns, {"role": "user", "parts": [{"text": "and?"}]}]}

    def turns(self, body):
        return body["contents"][:-1]

    REFUSED = {"error": {"code": 400, "status": "INVALID_ARGUMENT",
                         "message": "Corrupted thought signature."}}
    DROPPED = "contents[1].parts[0].thoughtSignature"


FORMS = [Messages("anthropic", "anthropic", "/v1/messages"),
         Responses("responses", "openai", "/v1/responses"),
         Gemini("gemini", "gemini", "/v1beta/models/m:{}")]


class SignatureTest(GatewayTest):
    def ask(self, form, turns, stream=False):
        path = form.path.format("streamGenerateContent?alt=sse" if stream else "generateContent")
        answer = self.server.post(path, form.body(turns, stream))
        self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
        return answer

    def metric(self, line):
        found = [float(text.rsplit(" ", 1)[1]) for text in
                 self.server.ask_admin("/metrics").body.decode().splitlines()
                 if text.startswith(line + " ")]
        self.assertEqual(len(found), 1, line)
        return found[0]


@both_backends
class Issuers(SignatureTest):
    """Two accounts of one format; the first is asked first."""

    def world(self, form, signs=("from-one", "from-two")):
        self.down = set()
        self.vendors = []

        def answer(at):
            def respond(peer, request):
                body = json.loads(request.body)
                if at in self.down:
                    peer.answer({"error": {"message": "overloaded", "type": "overloaded_error"}}, "529 Overloaded")
                elif body.get("stream") or "alt=sse" in request.target:
                    peer.answer_sse(form.events(signs[at] + TAIL))
                else:
                    peer.answer(form.answer(signs[at] + TAIL))
            return respond

        for at in range(2):
            self.vendors.append(self.vendor(serving(answer(at))))
        self.server = self.gateway(accounts=[
            form.account("one", self.vendors[0]), form.account("two", self.vendors[1])])

    def seen(self, at):
        return json.loads(self.vendors[at].requests[-1].body)

    def asked(self):
        return [len(vendor.requests) for vendor in self.vendors]

    def each(self, check):
        for form in FORMS:
            for stream in (False, True):
                with self.subTest(format=form.name, stream=stream):
                    self.world(form)
                    check(form, stream)

    def test_a_thought_goes_back_to_its_account_alone(self):
        """C-138, C-150: to another account it does not go, and the client reads of that."""
        def check(form, stream):
            one = form.turn("from-one" + TAIL)
            self.ask(form, [], stream)
            answer = self.ask(form, one, stream)
            self.assertEqual(form.turns(self.seen(0)), one)
            self.assertIsNone(answer.get("x-penstock-dropped"))
            self.down.add(0)
            answer = self.ask(form, one, stream)
            self.assertEqual(form.turns(self.seen(1)), form.bare())
            self.assertEqual(answer.get("x-penstock-dropped"), form.DROPPED)

        self.each(check)

    def test_who_signed_the_newest_thought_is_asked_first(self):
        def check(form, stream):
            self.down.add(0)
            self.ask(form, [], stream)
            self.down.clear()
            before = self.asked()
            two = form.turn("from-two" + TAIL)
            self.ask(form, two, stream)
            self.assertEqual(self.asked(), [before[0], before[1] + 1])
            self.assertEqual(form.turns(self.seen(1)), two)
            self.ask(form, [], stream)  # a conversation without thoughts keeps to the order
            self.assertEqual(self.asked(), [before[0] + 1, before[1] + 1])

        self.each(check)

    def test_what_nobody_knows_goes_as_it_is(self):
        for form in FORMS:
            with self.subTest(format=form.name):
                self.world(form)
                self.ask(form, [])
                unknown = form.turn("somebody-elses" + TAIL)
                self.assertIsNone(self.ask(form, unknown).get("x-penstock-dropped"))
                self.assertEqual(form.turns(self.seen(0)), unknown)

    def test_a_count_is_of_what_would_be_sent(self):
        form = FORMS[0]
        self.world(form)
        self.ask(form, [])
        self.down.add(0)
        body = form.body(form.turn("from-one" + TAIL))
        del body["max_tokens"], body["stream"]
        self.server.post("/v1/messages/count_tokens", body)
        self.assertEqual(self.vendors[1].requests[-1].target, "/v1/messages/count_tokens")
        self.assertEqual(form.turns(self.seen(1)), form.bare())

    def test_keys_do_not_share_what_is_known(self):
        form = FORMS[0]
        self.world(form)
        self.ask(form, [])
        self.down.add(0)
        other = self.server.cli("key", "create", "--name", "other").stdout.split()[-1]
        one = form.turn("from-one" + TAIL)
        answer = self.server.post(form.path, form.body(one), key=other)
        self.assertEqual(answer.status, 200)
        self.assertEqual(form.turns(self.seen(1)), one)

    def test_one_account_alone_is_not_watched(self):
        form = FORMS[0]
        vendor = self.vendor(serving(lambda peer, _: peer.answer(form.answer("alone" + TAIL))))
        self.server = self.gateway(accounts=[form.account("one", vendor)])
        self.ask(form, [])
        self.assertEqual(self.metric("penstock_recall_entries"), 0)


@both_backends
class Refused(SignatureTest):
    """A vendor that takes no thought back, though it was its own (C-064)."""

    def world(self, form, events=False, accounts=1, never=False):
        """events: it says so inside a stream; never: it refuses whatever it gets."""
        def respond(peer, request):
            if never or TAIL.encode() in request.body:
                if events:
                    return peer.answer_sse([sse(form.REFUSED, "error")])
                return peer.answer(form.REFUSED, "400 Bad Request")
            body = json.loads(request.body)
            if body.get("stream") or "alt=sse" in request.target:
                return peer.answer_sse(form.events("new" + TAIL))
            return peer.answer(form.answer("new" + TAIL))

        self.vendors = [self.vendor(serving(respond)) for _ in range(accounts)]
        self.server = self.gateway(accounts=[form.account(f"a{n}", vendor)
                                             for n, vendor in enumerate(self.vendors)])

    def bodies(self, at=0):
        return [json.loads(request.body) for request in self.vendors[at].requests]

    def test_the_same_account_is_asked_without_thoughts(self):
        for form in FORMS:
            for stream in (False, True):
                with self.subTest(format=form.name, stream=stream):
                    self.world(form, accounts=2)
                    turns = form.turn("old" + TAIL)
                    answer = self.ask(form, turns, stream)
                    first, second = self.bodies()
                    self.assertEqual((form.turns(first), form.turns(second)), (turns, form.bare()))
                    self.assertEqual(answer.get("x-penstock-dropped"), form.DROPPED)
                    self.assertEqual(len(self.vendors[1].requests), 0)
                    self.assertEqual(self.metric("penstock_thoughtless_retries_total"), 1)
                    # What was refused is not tried again; what was made since then comes back.
                    later = turns + form.turn("new" + TAIL)
                    self.server.post(form.path.format("generateContent"), form.body(later))
                    third = self.bodies()[2]
                    self.assertEqual(form.turns(third), form.bare() + form.turn("new" + TAIL))

    def test_an_error_before_the_answer_counts_too(self):
        form = FORMS[0]
        self.world(form, events=True)
        self.ask(form, form.turn("old" + TAIL), True)
        self.assertEqual([form.turns(body) for body in self.bodies()],
                         [form.turn("old" + TAIL), form.bare()])

    def test_twice_is_enough(self):
        for form in FORMS:
            with self.subTest(format=form.name):
                self.world(form, never=True)
                answer = self.server.post(form.path.format("generateContent"),
                                          form.body(form.turn("old" + TAIL)))
                self.assertEqual(answer.status, 400)
                self.assertIn(form.REFUSED["error"]["message"], answer.json()["error"]["message"])
                self.assertEqual(len(self.bodies()), 2)


CALL_ANSWERS = {
    "anthropic": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
        {"type": "thinking", "thinking": "so", "signature": "kept" + TAIL},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1, "b": "é"}}],
        "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2}},
    "responses": {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
                  "model": "m", "output": [
                      {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "kept" + TAIL},
                      {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look",
                       "arguments": '{"a":1,"b":"é"}', "status": "completed"}],
                  "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}},
    "gemini": {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
        {"functionCall": {"name": "look", "args": {"a": 1, "b": "é"}}, "thoughtSignature": "kept" + TAIL}]}}],
        "modelVersion": "m", "responseId": "r",
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}},
}


@both_backends
class Lost(SignatureTest):
    """A Chat client, whose format has no place for them (C-150)."""

    def ask_chat(self, messages, model="m", key=None, **more):
        answer = self.server.post("/v1/chat/completions", {
            "model": model, "reasoning_effort": "high", "messages": messages, "tools": [
                {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
            **more}, key=key)
        self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
        return answer

    def world(self, form, refuses=False):
        def respond(peer, request):
            if refuses and TAIL.encode() in request.body:
                peer.answer(form.REFUSED, "400 Bad Request")
            else:
                peer.answer(CALL_ANSWERS[form.name])

        self.vendors = [self.vendor(serving(respond)) for _ in range(2)]
        self.server = self.gateway(accounts=[
            form.account("one", self.vendors[0]), form.account("two", self.vendors[1], models=["m2"])])

    def history(self):
        """What such a client makes of the answer to its first question."""
        message = self.ask_chat([{"role": "user", "content": "q"}]).json()["choices"][0]["message"]
        call = message["tool_calls"][0]
        call = {"id": call["id"], "type": "function", "function": {"name": "look", "arguments": json.dumps(
            dict(reversed(json.loads(call["function"]["arguments"]).items())), indent=1)}}
        return [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "r"}]

    def seen(self, at=0):
        return self.vendors[at].requests[-1].body.decode()

    def test_what_a_client_lost_goes_back(self):
        for form in FORMS:
            with self.subTest(format=form.name):
                self.world(form)
                history = self.history()
                self.ask_chat(history)
                self.assertEqual(self.seen().count("kept" + TAIL), 1)
                self.assertEqual(self.metric('penstock_recall_hits_total{kind="call"}'), 1)
                # Not to another account, and not for another key.
                self.ask_chat(history, "m2")
                self.assertNotIn(TAIL, self.seen(1))
                other = self.server.cli("key", "create", "--name", "other").stdout.split()[-1]
                self.ask_chat(history, key=other)
                self.assertNotIn(TAIL, self.seen())
                # Another call of the same id is another call.
                history[1]["tool_calls"][0]["function"]["arguments"] = '{"a":2}'
                self.ask_chat(history)
                self.assertNotIn(TAIL, self.seen())

    def test_what_is_refused_is_left_out(self):
        """C-064, of a request that was converted."""
        for form in FORMS:
            with self.subTest(format=form.name):
                self.world(form, refuses=True)
                history = self.history()
                self.ask_chat(history)
                self.ask_chat(history)  # it is not tried a second time
                self.assertEqual([TAIL.encode() in request.body for request in self.vendors[0].requests],
                                 [False, True, False, False])
                self.assertEqual(self.metric("penstock_thoughtless_retries_total"), 1)
