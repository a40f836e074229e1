"""How many tokens a request has is told for every model that a client reaches: by the
vendor that has such an operation, else by an estimate that a field of the answer names as one.
"""

import json

from dialects import TOOL, converted
from harness import GatewayTest, both_backends
from test_convert import serving

TOLD = 77  # what vendors that count say
IMAGE = "iVBORw0KGgo="


class Form:
    """A client's way to ask."""

    def __init__(self, name, path, text, rich, number, told, bad):
        self.name, self.path, self.text, self.rich = name, path, text, rich
        self.number, self.told, self.bad = number, told, bad


def messages(content, **more):
    return {"messages": [{"role": "user", "content": content}], **more}


def contents(*parts, **more):
    return {"contents": [{"role": "user", "parts": list(parts)}], **more}


FORMS = [
    Form("anthropic", "/v1/messages/count_tokens", lambda text: messages(text),
         messages([{"type": "text", "text": "x"},
                   {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                "data": IMAGE}},
                   {"type": "document", "source": {"type": "base64", "media_type": "application/pdf",
                                                   "data": "JVBERi0xLjQK"}}],
                  tools=[{"name": TOOL["name"], "input_schema": TOOL["schema"]}]),
         lambda body: body["input_tokens"], {"input_tokens": TOLD},
         {"messages": [{"role": "usher", "content": "x"}]}),
    Form("responses", "/v1/responses/input_tokens", lambda text: {"input": text},
         {"input": [{"role": "user", "content": [
             {"type": "input_text", "text": "x"},
             {"type": "input_image", "image_url": "data:image/png;base64," + IMAGE},
             {"type": "input_file", "filename": "a.pdf",
              "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}]}],
          "tools": [{"type": "function", "name": TOOL["name"], "parameters": TOOL["schema"]}]},
         lambda body: body["input_tokens"], {"object": "response.input_tokens", "input_tokens": TOLD},
         {"input": 7}),
    Form("gemini", "/v1beta/models/{model}:countTokens", lambda text: contents({"text": text}),
         {"generateContentRequest": {"model": "models/m", **contents(
             {"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": IMAGE}},
             {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjQK"}},
             tools=[{"functionDeclarations": [{"name": TOOL["name"], "parameters": TOOL["schema"]}]}])}},
         lambda body: body["totalTokens"], {"totalTokens": TOLD},
         {"contents": 7}),
]


@both_backends
class CountTokens(GatewayTest):
    def world(self, respond, **options):
        """A model `to-<format>` at each kind of account; respond(form's name, peer) answers."""
        self.vendors, accounts = {}, []
        for dialect in converted():
            vendor = self.vendor(serving(lambda peer, request, name=dialect.name: respond(name, peer)))
            self.vendors[dialect.name] = vendor
            accounts.append(dialect.account(vendor, models=[f"to-{dialect.name}"]))
        self.server = self.gateway(accounts=accounts, **options)

    def told(self, name, peer):
        peer.answer(next(form.told for form in FORMS if form.name == name))

    def ask(self, form, model, body, **options):
        return self.server.post(form.path.format(model=model), {"model": model, **body}
                                if form.name != "gemini" else body, **options)

    def estimated(self, form, answer):
        self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
        self.assertEqual(answer.get("content-type"), "application/json")
        self.assertEqual(answer.get("x-penstock-estimated"), "true")
        self.assertTrue(answer.get("x-request-id"))
        if form.name == "responses":
            self.assertEqual(answer.json()["object"], "response.input_tokens")
        return form.number(answer.json())

    def record(self, answer):
        name = f'"req_id":"{answer.get("x-request-id")}"'
        self.eventually(lambda: name in self.server.log(), "the line is written")
        return json.loads(next(line for line in self.server.log().splitlines() if name in line))

    def test_every_form_at_every_account(self):
        """C-059, P129: the vendor's own number where it speaks the client's format, an estimate elsewhere."""
        self.world(self.told)
        for form in FORMS:
            for vendor in self.vendors:
                with self.subTest(form=form.name, vendor=vendor):
                    answer = self.ask(form, f"to-{vendor}", form.text("word " * 40))
                    if vendor == form.name:
                        self.assertEqual((answer.status, answer.json()), (200, form.told))
                        self.assertIsNone(answer.get("x-penstock-estimated"))
                        path = self.vendors[vendor].requests[-1].target
                        self.assertEqual(path, form.path.format(model=f"to-{vendor}"))
                    else:
                        self.assertEqual(self.estimated(form, answer), 50 + 3)
                    line = self.record(answer)
                    self.assertEqual((line["status"], line["format"]), (200, form.name))
                    self.assertFalse(line.get("in_tok") or line.get("out_tok"), line)
        self.assertEqual({name: len(vendor.requests) for name, vendor in self.vendors.items()},
                         {name: name in [form.name for form in FORMS] for name in self.vendors})

    def test_pictures_documents_and_tools(self):
        """P128"""
        self.world(self.told)
        for form in FORMS:
            with self.subTest(form=form.name):
                few = self.estimated(form, self.ask(form, "to-openai", form.text("x")))
                many = self.estimated(form, self.ask(form, "to-openai", form.rich))
                self.assertTrue(few + 3000 < many < few + 3100, (few, many))

    def test_an_estimate_is_the_same_each_time(self):
        self.world(self.told)
        for form in FORMS:
            told = {self.estimated(form, self.ask(form, "to-openai", form.rich)) for _ in range(3)}
            self.assertEqual(len(told), 1)

    def test_a_vendor_that_cannot_count(self):
        """No such operation there, or no answer at all: never the client's loss."""
        answers = [("404 Not Found", {"error": {"message": "no such path"}}),
                   ("405 Method Not Allowed", {}), ("501 Not Implemented", {}),
                   ("500 Internal Server Error", {}), ("401 Unauthorized", {})]
        for status, body in answers:
            self.world(lambda _name, peer: peer.answer(body, status=status))
            for form in FORMS:
                with self.subTest(form=form.name, status=status):
                    answer = self.ask(form, f"to-{form.name}", form.text("word " * 40))
                    self.assertEqual(self.estimated(form, answer), 53)
                    self.assertEqual(len(self.vendors[form.name].requests), 1)
                    line = self.record(answer)
                    self.assertEqual(line["status"], 200)
                    self.assertFalse(line.get("in_tok") or line.get("out_tok"), line)
                    # Who has no such operation is not asked for it again so soon.
                    self.assertEqual(self.estimated(form, self.ask(form, f"to-{form.name}",
                                                                   form.text("word " * 40))), 53)
                    self.assertEqual(len(self.vendors[form.name].requests),
                                     1 if status[:3] in ("404", "405", "501") else 2)

    def test_what_a_vendor_refuses_is_refused(self):
        self.world(lambda _name, peer: peer.answer(
            {"error": {"message": "that is no message", "type": "invalid_request_error"}},
            status="400 Bad Request"))
        for form in FORMS:
            with self.subTest(form=form.name):
                answer = self.ask(form, f"to-{form.name}", form.text("x"))
                self.assertEqual(answer.status, 400, answer.body)
                self.assertIsNone(answer.get("x-penstock-estimated"))

    def test_checks_are_those_of_all_requests(self):
        """Keys, models and bodies: errors in the client's own form."""
        self.world(self.told)
        for form in FORMS:
            with self.subTest(form=form.name):
                missing = self.ask(form, "nobody-has-this", form.text("x"))
                self.assertEqual(missing.status, 404, missing.body)
                self.assertIn("error", missing.json())
                wrong = self.ask(form, "to-openai", form.text("x"), key="sk-pst-" + "0" * 49)
                self.assertEqual(wrong.status, 401, wrong.body)
                bad = self.ask(form, "to-openai", form.bad)
                self.assertEqual(bad.status, 400, bad.body)
                self.assertIn(next(iter(form.bad)), bad.json()["error"]["message"])
                self.assertIsNone(bad.get("x-penstock-estimated"))
        self.assertEqual(sum(len(vendor.requests) for vendor in self.vendors.values()), 0)
