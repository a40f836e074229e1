"""OpenAI's old /v1/completions in front of vendors that only chat."""

import json

from dialects import converted
from harness import both_backends
from test_convert import PIECES, TEXT, ConvertTest, says, serving


def others():
    """Vendors that are asked in another format."""
    return [dialect for dialect in converted() if dialect.name != "openai"]


@both_backends
class Completions(ConvertTest):
    def complete(self, model, prompt, **more):
        return self.server.post("/v1/completions", {"model": model, "prompt": prompt, **more})

    def test_a_prompt_is_a_users_message(self):
        self.world(says())
        for vendor in others():
            for prompt in (TEXT, [TEXT]):
                with self.subTest(vendor=vendor.name, prompt=prompt):
                    answer = self.complete(f"to-{vendor.name}", prompt, max_tokens=50)
                    self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
                    body = answer.json()
                    self.assertEqual((body["object"], body["model"]),
                                     ("text_completion", f"to-{vendor.name}"))
                    self.assertEqual(body["choices"], [{"index": 0, "text": TEXT, "logprobs": None,
                                                        "finish_reason": "stop"}])
                    self.assertEqual(body["usage"]["total_tokens"], 22)
                    self.assertIsNone(answer.get("x-penstock-dropped"))
                    seen = vendor.seen(self.vendors[vendor.name].requests[-1])
                    self.assertEqual((seen.text, seen.stream), (TEXT, False))

    def test_streams(self):
        self.world(says())
        for vendor in others():
            for wanted in (False, True):
                with self.subTest(vendor=vendor.name, usage=wanted):
                    more = {"stream_options": {"include_usage": True}} if wanted else {}
                    answer = self.complete(f"to-{vendor.name}", TEXT, stream=True, **more)
                    self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
                    self.assertTrue(answer.get("content-type").startswith("text/event-stream"))
                    events = [line.removeprefix("data: ") for line in answer.body.decode().split("\n")
                              if line]
                    self.assertEqual(events.pop(), "[DONE]")
                    chunks = [json.loads(event) for event in events]
                    self.assertEqual({chunk["object"] for chunk in chunks}, {"text_completion"})
                    if wanted:
                        last = chunks.pop()
                        self.assertEqual((last["choices"], last["usage"]["total_tokens"]), ([], 22))
                    choices = [chunk["choices"][0] for chunk in chunks]
                    self.assertEqual([choice["text"] for choice in choices], [*PIECES, ""])
                    self.assertEqual([choice["finish_reason"] for choice in choices],
                                     [None] * len(PIECES) + ["stop"])

    def test_what_no_chat_can_do(self):
        self.world(says())
        for more, path in (({"prompt": ["a", "b"]}, "prompt"), ({"prompt": [1, 2]}, "prompt"),
                           ({"prompt": None}, "prompt"), ({"suffix": "end"}, "suffix")):
            answer = self.complete("to-anthropic", **{"prompt": "x", **more})
            self.assertEqual(answer.status, 400, answer.body)
            self.assertEqual(answer.json()["error"]["param"], path)
        self.seen_nothing()
        answer = self.complete("to-anthropic", "x", echo=True, best_of=2, logprobs=3, suffix="")
        self.assertEqual((answer.status, answer.get("x-penstock-dropped")),
                         (200, "echo,best_of,logprobs"))

    def test_a_vendor_of_the_same_format_gets_it_as_it_is(self):
        self.world(lambda _dialect, peer, _request, _said: peer.answer({"object": "text_completion"}))
        for vendor in self.vendors.values():
            vendor.requests.clear()
        answer = self.complete("to-openai", "x", messages=[])
        self.assertEqual((answer.status, answer.json()), (200, {"object": "text_completion"}))
        self.assertEqual(self.vendors["openai"].requests[-1].target, "/v1/completions")

    def test_errors_are_in_the_clients_form(self):
        self.world(lambda dialect, peer, _request, _said: dialect.error_answer(peer, "slow down"))
        for vendor in others():
            for stream in (False, True):
                answer = self.complete(f"to-{vendor.name}", "x", stream=stream)
                self.assertEqual(answer.status, 429, answer.body)
                self.assertIn("message", answer.json()["error"])

    def test_a_vendor_that_only_chats(self):
        """It says so once for a model; a model that it completes is asked for as it is."""
        chat = next(dialect for dialect in converted() if dialect.name == "openai")

        def respond(peer, request):
            if not request.target.endswith("/v1/completions"):
                return says()(chat, peer, request, chat.seen(request))
            if json.loads(request.body)["model"] == "old":
                return peer.answer({"object": "text_completion"})
            return peer.answer({"error": {"message": "This is a chat model and not supported in the "
                                          "v1/completions endpoint.", "type": "invalid_request_error",
                                          "param": "model", "code": None}}, "404 Not Found")

        vendor = self.vendor(serving(respond))
        self.server = self.gateway(accounts=[chat.account(vendor, models=["to-openai", "old"])])
        for stream in (False, True):
            del vendor.requests[:]
            answer = self.complete("to-openai", TEXT, stream=stream)
            self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
            self.assertIn("text_completion", answer.body.decode())
            self.assertEqual([request.target for request in vendor.requests],
                             ["/v1/completions", "/v1/chat/completions"][stream:])
        self.assertEqual(self.complete("old", "x").json(), {"object": "text_completion"})
        answer = self.complete("to-openai", [1, 2])  # what no chat can do
        self.assertEqual((answer.status, answer.json()["error"]["param"]), (400, "prompt"))
