"""The Markdown table of a CSV's rows."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"], "bench", "peers")))
import markdown  # noqa: E402
import program  # noqa: E402

TIME = program.Column("step_ms", "CPU/step", "ms")
STEPS = program.Program("steps", "", (), columns=(TIME, program.Column("overhead", "overhead")))
OBJECTS = program.Program("objects", "", (), columns=(TIME, program.RESIDENT))
BASE = program.Program("base", "", (), columns=(program.RESIDENT,))


def row(name, allocator, time, memory, number=1, failed=""):
    key = "overhead" if name == "steps" else "resident_peak"
    return {"program": name, "allocator": allocator, "round": number, "failed": failed,
            **({} if failed else {"step_ms": time, key: memory})}


class Markdown(unittest.TestCase):
    def cells(self, *rows):
        text = markdown.render((STEPS, OBJECTS, BASE), rows, ("glibc", "stepwell"))
        return [line.strip("| ").split(" | ") for line in text.splitlines()]

    def test_time_is_to_glibc_memory_to_glibc_or_the_least(self):
        self.assertEqual(
            self.cells(row("objects", "glibc", 10, 200), row("objects", "stepwell", 5, 300),
                       row("steps", "stepwell", 20, 1.01), row("steps", "glibc", 10, 1.5)),
            [["program", "glibc", "stepwell"], ["---"] * 3,
             ["steps", "1.00 · 1.50", "2.00 · 1.01"],
             ["objects", "1.00 · 1.00", "0.50 · 1.50"],
             ["geometric mean", "1.00 · 1.50", "1.00 · 1.01"]])

    def test_where_nothing_is_to_the_least_the_mean_is_to_glibc(self):
        found = [row(name, allocator, 10, 200) for name in ("objects", "others")
                 for allocator in ("glibc", "stepwell")]
        found[1]["resident_peak"] = 800
        others = program.Program("others", "", (), columns=(TIME, program.RESIDENT))
        text = markdown.render((OBJECTS, others), found, ("glibc", "stepwell"))
        self.assertIn("| geometric mean | 1.00 · 1.00 | 1.00 · 2.00 |", text)

    def test_medians_over_the_rounds(self):
        rows = [row("objects", "glibc", 10, 100)]
        rows += [row("objects", "stepwell", time, 100, number)
                 for number, time in enumerate((90, 7, 8))]
        self.assertEqual(self.cells(*rows)[2], ["objects", "1.00 · 1.00", "0.80 · 1.00"])

    def test_what_failed_has_no_number(self):
        self.assertEqual(
            self.cells(row("objects", "glibc", 10, 100),
                       row("objects", "stepwell", 0, 0, failed="exit code 1"))[2],
            ["objects", "1.00 · 1.00", "- · -"])

    def test_a_program_of_one_column_is_left_out(self):
        self.assertEqual(len(self.cells(row("base", "glibc", 1, 1))), 3)


unittest.main()
