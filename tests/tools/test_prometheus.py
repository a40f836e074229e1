"""The reader of metrics finds what is wrong with them: it is what other tests judge by."""

import importlib.util
import os
import unittest

# By its path: the two folders of tests have files of the same names.
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "prometheus.py")
SPEC = importlib.util.spec_from_file_location("prometheus", PATH)
prometheus = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(prometheus)
Malformed, lint, parse = prometheus.Malformed, prometheus.lint, prometheus.parse

HEAD = "# HELP a_total Help.\n# TYPE a_total counter\n"
HISTOGRAM = ("# HELP h_seconds Help.\n# TYPE h_seconds histogram\n"
             'h_seconds_bucket{le="0.1"} 1\nh_seconds_bucket{le="+Inf"} 2\nh_seconds_sum 3.5\nh_seconds_count 2\n')


class Reading(unittest.TestCase):
    def test_good_text_is_read(self):
        families = parse(HEAD + 'a_total{x="1",y="\\"\\\\\\n"} 7\na_total{x="2",y=""} 1e3\n' + HISTOGRAM)
        self.assertEqual(list(families), ["a_total", "h_seconds"])
        self.assertEqual(families["a_total"].labels(), {"x", "y"})
        self.assertEqual(families["a_total"].samples[1][2], 1000)
        self.assertEqual(lint(families), [])

    def test_malformed_text_is_refused(self):
        for text in (HEAD + "a_total 1", HEAD + "a_total{x=1} 1\n", HEAD + 'a_total{x="1"x="2"} 1\n',
                     HEAD + 'a_total{x="1",x="2"} 1\n', HEAD + "a_total one\n", HEAD + "a_total  1\n",
                     HEAD + "b_total 1\n", HEAD + "a_total 1\na_total 2\n", HEAD + 'a_total{x="\n"} 1\n',
                     HEAD + "a_total 1\n" + HISTOGRAM + "a_total{x=\"1\"} 1\n", HEAD + "a_total 1\n" + HEAD,
                     HEAD + HEAD, "a_total 1\n", HEAD + "\n", HEAD + 'a_total{x="\\t"} 1\n'):
            with self.assertRaises(Malformed, msg=text):
                parse(text)

    def test_names_and_sums_are_judged(self):
        def told(name, kind, text="Help."):
            return lint(parse(f"# HELP {name} {text}\n# TYPE {name} {kind}\n"))
        for name, kind in (("a", "counter"), ("a_total", "gauge"), ("a_ms", "gauge"), ("a_percent", "gauge"),
                           ("a_count", "gauge"), ("aB", "gauge"), ("a", "what"), ("a_gauge", "gauge"),
                           ("a_milliseconds_total", "counter")):
            self.assertEqual(len(told(name, kind)), 1, (name, kind))
        self.assertEqual(told("a_seconds", "gauge"), [])
        self.assertTrue(told("a", "gauge", ""))
        for old, new in (('le="0.1"} 1', 'le="0.1"} 3'), ("count 2", "count 3"), ('le="+Inf"', 'le="0.05"'),
                         ("h_seconds_sum 3.5\n", "")):
            self.assertTrue(lint(parse(HISTOGRAM.replace(old, new))), (old, new))


if __name__ == "__main__":
    unittest.main()
