"""Reads Prometheus' text format 0.0.4 as strictly as `promtool check metrics` does, and judges it by the
same rules: help and type before samples, a family in one place, no series twice, names that tell
type and unit, histograms that add up.

    families = parse(text)          # raises Malformed
    trouble = lint(families)        # [] when there is nothing to say
"""

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
# Units that are not base units, and the ones to use.
UNITS = {"milliseconds": "seconds", "microseconds": "seconds", "nanoseconds": "seconds", "ms": "seconds",
         "us": "seconds", "ns": "seconds", "minutes": "seconds", "hours": "seconds", "days": "seconds",
         "bits": "bytes", "kb": "bytes", "mb": "bytes", "kilobytes": "bytes", "megabytes": "bytes",
         "percent": "ratio", "percents": "ratio", "permille": "ratio"}


class Malformed(AssertionError):
    pass


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, []

    def labels(self):
        """The names of labels that its samples carry, le and quantile apart."""
        return {name for _, labels, _ in self.samples for name in labels} - {"le", "quantile"}


def labels_of(text, line):
    found, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match:
            raise Malformed(f"labels: {line!r}")
        if match[1] in found:
            raise Malformed(f"label {match[1]} twice: {line!r}")
        found[match[1]] = match[2]
        at = match.end()
        if at < len(text):
            if text[at] != ",":
                raise Malformed(f"labels: {line!r}")
            at += 1
    return found


def value_of(text, line):
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+|Inf)|NaN", text):
        raise Malformed(f"value: {line!r}")
    return float(text)


def family_of(name, families):
    """The family a sample belongs to: a histogram's by its suffix."""
    for suffix in ("_bucket", "_sum", "_count"):
        base = families.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if base is not None and base.type in ("histogram", "summary"):
            return base
    return families.get(name)


def parse(text):
    """{name: Family}, in the order of the text."""
    if not text.endswith("\n"):
        raise Malformed("no line end at the end")
    families, current, seen = {}, None, set()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP ") or line.startswith("# TYPE "):
            _, kind, name, rest = (line + " ").split(" ", 3)
            if not NAME.fullmatch(name):
                raise Malformed(f"name: {line!r}")
            if current is None or current.name != name:
                if name in families:
                    raise Malformed(f"{name} stands in two places")
                current = families[name] = Family(name)
            if getattr(current, kind.lower()) is not None or current.samples:
                raise Malformed(f"{kind} of {name} twice or behind its samples")
            setattr(current, kind.lower(), rest.strip())
            continue
        match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
        if not match:
            raise Malformed(f"line: {line!r}")
        family = family_of(match[1], families)
        if family is None or family is not current:
            raise Malformed(f"a sample away from its family: {line!r}")
        labels = labels_of(match[2] or "", line)
        series = (match[1], frozenset(labels.items()))
        if series in seen:
            raise Malformed(f"a series twice: {line!r}")
        seen.add(series)
        family.samples.append((match[1], labels, value_of(match[3], line)))
    return families


def lint_histogram(family):
    """Buckets ascend and add up, and each has its sum and count."""
    trouble, groups = [], {}
    for name, labels, value in family.samples:
        key = frozenset((key, text) for key, text in labels.items() if key != "le")
        group = groups.setdefault(key, {"buckets": [], "_sum": None, "_count": None})
        if name.endswith("_bucket"):
            group["buckets"].append((float(labels.get("le", "nan")), value))
        elif name != family.name:
            group["_" + name.rsplit("_", 1)[1]] = value
        else:
            trouble.append(f"{name}: a sample without a suffix")
    for key, group in groups.items():
        bounds = [bound for bound, _ in group["buckets"]]
        counts = [count for _, count in group["buckets"]]
        if not bounds or bounds != sorted(set(bounds)) or bounds[-1] != float("inf"):
            trouble.append(f"{family.name}{dict(key)}: bounds {bounds}")
        elif counts != sorted(counts) or group["_count"] != counts[-1] or group["_sum"] is None:
            trouble.append(f"{family.name}{dict(key)}: {counts}, {group['_count']}, {group['_sum']}")
    return trouble


def lint(families):
    trouble = []
    for family in families.values():
        name = family.name
        if not family.help:
            trouble.append(f"{name}: no help")
        if family.type not in TYPES or family.type == "untyped":
            trouble.append(f"{name}: type {family.type}")
        if (family.type == "counter") != name.endswith("_total"):
            trouble.append(f"{name}: a {family.type} of that name")
        if name.endswith(("_bucket", "_sum", "_count")):
            trouble.append(f"{name}: a reserved suffix")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            trouble.append(f"{name}: not in lower case")
        trouble += [f"{name}: {UNITS[part]} are the base unit of {part}" for part in name.split("_") if part in UNITS]
        if family.type in name.split("_"):
            trouble.append(f"{name}: the type is in the name")
        trouble += [f"{name}: {sample} is negative" for sample, _, value in family.samples
                    if family.type != "gauge" and value < 0]
        if family.type == "histogram":
            trouble += lint_histogram(family)
    return trouble
