"""As much of JSON Schema (2020-12) as docs/openapi.yaml speaks. A word that is not known here raises,
so that no rule of the document is passed over."""

import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NOTES = {"description", "default"}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


class Schema:
    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        """What a `$ref` points at, and the words beside it."""
        if "$ref" not in node:
            return node
        target = self.document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return self.resolve(target)

    def faults(self, schema, value, at="$"):
        """What about `value` does not fit, as texts."""
        return self._judge(schema, value, at)[0]

    def _judge(self, schema, value, at):
        """(faults, names of the members that the schema knows)"""
        faults, known = [], set()

        def fault(text):
            faults.append(f"{at} {text}")

        def inner(part, where=at, below=value):
            more, names = self._judge(part, below, where)
            faults.extend(more)
            return names

        for word, rule in schema.items():
            if word == "$ref":
                known |= inner(self.resolve({"$ref": rule}))
            elif word == "allOf":
                for part in rule:
                    known |= inner(part)
            elif word == "type":
                if not any(is_type(value, name) for name in ([rule] if isinstance(rule, str) else rule)):
                    fault(f"is not of type {rule}: {value!r}")
            elif word == "enum":
                if value not in rule:
                    fault(f"is none of {rule}: {value!r}")
            elif word == "maxLength":
                if isinstance(value, str) and len(value) > rule:
                    fault(f"is longer than {rule}")
            elif word in ("minimum", "maximum"):
                if is_type(value, "integer") and (value < rule if word == "minimum" else value > rule):
                    fault(f"is beyond its {word} {rule}: {value}")
            elif word == "format":
                assert rule == "date-time", f"unknown format {rule}"
                if isinstance(value, str) and not TIME.fullmatch(value):
                    fault(f"is no time: {value!r}")
            elif word == "required":
                if isinstance(value, dict):
                    faults.extend(f"{at} lacks {name}" for name in rule if name not in value)
            elif word == "properties":
                known |= set(rule)
                for name in rule.keys() & (value if isinstance(value, dict) else {}).keys():
                    inner(rule[name], f"{at}.{name}", value[name])
            elif word == "items":
                for number, item in enumerate(value if isinstance(value, list) else ()):
                    inner(rule, f"{at}[{number}]", item)
            elif word not in NOTES | {"additionalProperties", "unevaluatedProperties"}:
                raise AssertionError(f"{at}: the document says {word}, which is not known here")
        for word in ("additionalProperties", "unevaluatedProperties"):
            if word in schema and isinstance(value, dict):
                for name in value.keys() - known:
                    if schema[word] is False:
                        fault(f"has {name}, which the document does not know")
                    else:
                        inner(schema[word], f"{at}.{name}", value[name])
                known |= value.keys()
        return faults, known
