"""tools/layers finds what it is there to find, and is silent about what is allowed."""

import os
import subprocess
import sys
import tempfile
import unittest

TOOL = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "layers")


def run_on(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([sys.executable, TOOL, root], capture_output=True, text=True)
        return done.returncode, done.stdout


class Layers(unittest.TestCase):
    def finds(self, files, *texts):
        code, out = run_on(files)
        self.assertEqual(code, 1, out)
        for text in texts:
            self.assertIn(text, out)
        self.assertEqual(len(out.splitlines()), len(texts), out)

    def accepts(self, files):
        code, out = run_on(files)
        self.assertEqual(code, 0, out)

    def test_an_arrow_upwards(self):
        header = {"include/penstock/net/conn.h": "\n", "include/penstock/base/base.h": "\n"}
        self.finds(
            header | {"src/io/x.c": '#include "penstock/net/conn.h"\n'},
            "src/io/x.c:1: `io` may not include `net`",
        )
        self.accepts(header | {"src/net/x.c": '#include "penstock/base/base.h"\n'})
        self.accepts(header | {"src/main.c": '#include "penstock/net/conn.h"\n'})

    def test_an_unknown_layer_and_a_missing_header(self):
        self.finds({"src/misc/x.c": "\n"}, "src/misc/x.c:1: layer `misc` has no line")
        self.finds({"src/io/x.c": '#include "penstock/io/no.h"\n'}, "no such header")

    def test_a_private_header_from_elsewhere(self):
        files = {"src/io/backend.h": "\n"}
        self.finds(files | {"src/net/x.c": '#include "io/backend.h"\n'}, "lives beside its user")
        self.accepts(files | {"src/io/x.c": '#include "backend.h"\n'})

    def test_a_system_call_in_the_pure_tower(self):
        self.finds({"src/wire/x.c": "#include <sys/socket.h>\n"}, "makes no system calls")
        self.accepts({"src/net/x.c": "#include <sys/socket.h>\n"})

    def test_forbidden_calls(self):
        self.finds({"src/net/x.c": "\nint x = strcpy(a, b);\n"}, "src/net/x.c:2: an unbounded")
        self.finds({"src/net/x.c": "p = malloc(3);\n"}, "allocation outside base")
        self.finds({"src/base/x.c": "clock_gettime(0, &ts);\n"}, "clock outside base/env")
        self.accepts({"src/base/x.c": "p = malloc(3);\n"})
        self.accepts({"src/base/env.c": "clock_gettime(0, &ts); getrandom(p, 1, 0);\n"})
        self.accepts({"src/net/x.c": '// malloc(3)\nf("malloc(3)"); /* rand() */ op->time(1);\n'})

    def test_an_exception_says_why(self):
        self.accepts({"src/net/x.c": "// layer-check: the library frees it\np = malloc(3);\n"})
        self.finds({"src/net/x.c": "p = malloc(3); // layer-check:\n"}, "allocation outside base")

    def test_sizes(self):
        body = "    x++;\n"
        self.accepts({"src/net/x.c": "int f(void)\n{\n" + body * 68 + "}\n"})
        self.finds({"src/net/x.c": "int f(void)\n{\n" + body * 69 + "}\n"}, "function of 71 lines")
        self.accepts({"src/net/x.c": "\n" * 800})
        self.finds({"src/net/x.c": "\n" * 801}, "file of 801 lines")
        self.finds({"src/net/x.c": "x" * 101 + "\n"}, "101 columns")
        self.accepts({"src/net/x.c": '"' + "x" * 101 + '"\n'})  # a literal is not broken

    def test_nothing_to_check_is_a_failure(self):
        self.assertNotEqual(run_on({"docs/x.md": "\n"})[0], 0)


if __name__ == "__main__":
    unittest.main()
