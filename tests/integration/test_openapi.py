"""docs/openapi.yaml against a running gateway: every operation is called with its example, and each
answer has to have a status and a shape that the document promises."""

import os
import sys
import unittest

try:
    import yaml
except ImportError:  # a Python beside the system's own, which the package is for
    sys.path.append("/usr/lib/python3/dist-packages")
    import yaml

from harness import ROOT, GatewayTest, both_backends
from raw import serving
from schema import Schema
from test_admin import ANSWER, CHAT, Api, chat

METHODS = ("get", "post", "put", "patch", "delete")
OPEN = {"health", "ready", "metrics", "setup"}
LAST = {"drain"}  # ends the gateway
NOWHERE = "nothing-of-this-id"


class Operation:
    def __init__(self, document, path, method, node):
        self.document, self.path, self.method, self.node = document, path, method.upper(), node
        self.name = node["operationId"]
        shared = document.data["paths"][path].get("parameters", ())
        self.parameters = [document.schema.resolve(one) for one in (*shared, *node.get("parameters", ()))]
        self.responses = {int(code): document.schema.resolve(one)
                          for code, one in node["responses"].items()}
        self.good = min(code for code in self.responses if code < 300)
        self.body = node.get("requestBody", {}).get("content", {}).get("application/json", {})

    @property
    def collection(self):
        return self.path.split("/{id}")[0]

    def has(self, parameter):
        return any(one["name"] == parameter for one in self.parameters)


class Document:
    def __init__(self):
        with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as file:
            self.data = yaml.safe_load(file)
        self.schema = Schema(self.data)
        self.operations = [Operation(self, path, method, node)
                           for path, methods in self.data["paths"].items()
                           for method, node in methods.items() if method in METHODS]


@both_backends
class OpenApi(GatewayTest):
    """In the document's order, behind the setup: what is made by an example is shown, changed and used
    by the next, and removed at the end."""

    def setUp(self):
        super().setUp()
        self.document = Document()
        self.vendor_ = self.vendor(serving(lambda peer, _: peer.answer(ANSWER)))
        self.there = self.gateway(openai=self.vendor_,
                                  config={"upstream": {"allow_cidr": ["127.0.0.0/8"]}})
        with open(os.path.join(self.there.home, "state", "setup-token"), encoding="ascii") as file:
            self.setup_token = file.read().strip()
        self.api = Api(self.there)
        self.made = {}  # ids by collection
        self.called = set()

    def call(self, operation, body=None, id_=None, query="", match=None, want=None, api=None):
        """Calls it and holds the answer to what the document says of its status."""
        path = operation.path.replace("{id}", id_ or self.made.get(operation.collection, NOWHERE))
        headers = [("if-match", match)] if match else ()
        answer = (api or self.api).call(operation.method, path + query, body, raw=True, headers=headers)
        self.called.add(operation.name)
        what = f"{operation.method} {path}{query}: {answer.status} {answer.body[:300]!r}"
        self.assertEqual(answer.status, want or operation.good, what)
        self.assertIn(answer.status, operation.responses, what)
        content = operation.responses[answer.status].get("content", {})
        kind = (answer.get("content-type") or "").split(";")[0]
        if not content:
            self.assertEqual((answer.body, kind), (b"", ""), what)
            return answer
        self.assertIn(kind, content, what)
        if kind.endswith("json"):
            schema = content[kind]["schema"]
            self.assertEqual(self.document.schema.faults(schema, answer.json()), [], what)
        has_tag = "ETag" in operation.responses[answer.status].get("headers", ())
        self.assertEqual(answer.get("etag") is not None, has_tag, what)
        return answer

    def replay(self, operation):
        example = operation.body.get("example")
        if operation.body:
            self.assertIsNotNone(example, f"{operation.name} has no example")
            self.assertEqual(self.document.schema.faults(operation.body["schema"], example), [],
                             f"the example of {operation.name} does not fit its schema")
        if operation.name == "setup":
            self.call(operation, example, want=401)  # the example's token is nobody's
            token = self.call(operation, {**example, "token": self.setup_token}).json()["token"]
            self.call(operation, {**example, "token": self.setup_token}, want=409)
            self.api = Api(self.there, token)
            return
        if operation.name == "accountCreate":  # nothing here leaves the machine
            example = {**example, "base_url": self.vendor_.url + "/v1"}
        answer = self.call(operation, example)
        if operation.method == "POST" and answer.status == 201:
            self.made[operation.path] = answer.json()["id"]

    def refusals(self, operation):
        """The document's errors are the gateway's, where the document says how to get one."""
        codes = operation.responses.keys()
        if operation.name not in OPEN:
            self.assert_needs_token(operation)
        if 404 in codes and operation.has("id"):
            self.call(operation, operation.body.get("example"), id_=NOWHERE, want=404)
        if 400 in codes and operation.body:
            self.call(operation, {"no_such_field": 1}, want=400)
        if 409 in codes and operation.has("If-Match"):
            self.call(operation, operation.body.get("example"), match='"999999"', want=409)
        if operation.has("limit"):
            self.call(operation, query="?limit=1")

    def assert_needs_token(self, operation):
        path = operation.path.replace("{id}", NOWHERE)
        answer = Api(self.there).call(operation.method, path, operation.body.get("example"), raw=True)
        self.assertEqual(answer.status, 401, operation.name)
        problem = self.document.data["components"]["responses"]["Problem"]["content"]
        self.assertEqual(answer.get("content-type"), "application/problem+json")
        schema = problem["application/problem+json"]["schema"]
        self.assertEqual(self.document.schema.faults(schema, answer.json()), [], operation.name)

    def test_every_example_is_answered_as_the_document_says(self):
        operations = self.document.operations
        self.replay(next(one for one in operations if one.name == "setup"))
        last = [one for one in operations if one.name in LAST]
        removals = [one for one in operations if one.method == "DELETE"]
        for operation in operations:
            if operation in removals or operation in last or operation.name == "setup":
                continue
            if operation.name == "usage":  # something to tell of
                for model in ("m", "nothing"):
                    self.there.post(CHAT, chat(model))
                self.eventually(lambda: len(self.api.get("/api/v1/requests")[1]["items"]) == 2,
                                "the requests are told")
                self.call(operation, query="?by=key,account,model,format,day")
            with self.subTest(operation.name):
                self.replay(operation)
                self.refusals(operation)
        for operation in reversed(removals):
            with self.subTest(operation.name):
                self.refusals(operation)
                self.replay(operation)
        verbose = next(one for one in operations if one.name == "health")
        kind = self.call(verbose, query="?verbose=1").get("content-type")
        self.assertEqual(kind, "application/json")
        for operation in last:
            with self.subTest(operation.name):
                self.replay(operation)
        self.assertEqual(self.called, {one.name for one in operations})


class Validator(unittest.TestCase):
    """It refuses: or the tests above could not fail."""

    def test_what_does_not_fit_is_named(self):
        schema = Schema({"c": {"N": {"type": "object", "required": ["id"],
                                     "properties": {"id": {"type": "string", "maxLength": 2}}}}})
        whole = {"allOf": [{"$ref": "#/c/N"}], "unevaluatedProperties": False, "required": ["n"],
                 "properties": {"n": {"type": ["integer", "null"], "minimum": 0},
                                "t": {"type": "array", "items": {"enum": ["a"]}},
                                "at": {"type": "string", "format": "date-time"}}}
        self.assertEqual(schema.faults(whole, {"id": "x", "n": None, "t": ["a"],
                                               "at": "2026-01-02T03:04:05.6Z"}), [])
        for value, said in (({"n": 1}, "lacks id"), ({"id": "x"}, "lacks n"), ([], "not of type"),
                            ({"id": "xxx", "n": 1}, "longer"), ({"id": "x", "n": True}, "not of type"),
                            ({"id": "x", "n": -1}, "minimum"), ({"id": "x", "n": 1, "z": 1}, "has z"),
                            ({"id": "x", "n": 1, "t": ["b"]}, "$.t[0] is none of"),
                            ({"id": "x", "n": 1, "at": "today"}, "no time")):
            self.assertIn(said, " ".join(schema.faults(whole, value)), value)
        with self.assertRaises(AssertionError):
            schema.faults({"oneOf": []}, 1)
