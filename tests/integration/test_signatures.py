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
