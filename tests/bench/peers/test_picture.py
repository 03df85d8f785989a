"""The picture of a CSV's rows: where points are, what is named, what is left out."""
import os
import pathlib
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

sys.path.insert(0, str(pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"], "bench", "peers")))
import limits  # noqa: E402
import picture  # noqa: E402
import program  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
MIB = 1 << 20
TIME = program.Column("step_ms", "CPU/step", "ms")
LARGE = program.Program("large", "much & more", (), metered=True,
                        columns=(TIME, program.Column("overhead", "overhead")))
SMALL = program.Program("small", "little", (), columns=(TIME, program.RESIDENT))
SUITE = program.Suite("s", "a suite", (LARGE, SMALL))


def row(name, allocator, time=0, peak=0, failed="", number=1):
    numbers = {"step_ms": time, "resident_peak_growth": peak * MIB, "resident_peak": peak * MIB}
    return {"program": name, "allocator": allocator, "round": number, "failed": failed,
            **({} if failed else numbers)}


def metered(lb):
    return {**row("large", limits.METER), "lb": lb * MIB}


class Picture(unittest.TestCase):
    def draw(self, *rows, allocators=("glibc", "tcmalloc", "stepwell")):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "picture.svg")
            picture.save(path, SUITE, list(rows), allocators, ["seed 1 < 2"])
            return xml.fromstring(path.read_text(encoding="utf-8"))

    def panels(self, root):
        """{program: {allocator: (time, memory, x, y)}}."""
        found = {}
        for panel in root.findall(f"{SVG}g[@transform]"):
            points = found[panel.find(f"{SVG}text").text] = {}
            for group in panel.findall(f"{SVG}g"):
                name, time, memory = re.fullmatch(r"(.+): time (.+), memory (.+)",
                                                  group.find(f"{SVG}title").text).groups()
                points[name] = (float(time), float(memory), *self.centre(group))
        return found

    def centre(self, group):
        circle = group.find(f"{SVG}circle")
        if circle is not None:
            return float(circle.get("cx")), float(circle.get("cy"))
        corners = [tuple(map(float, pair.split(",")))
                   for pair in group.find(f"{SVG}polygon").get("points").split()]
        return tuple(sum(values) / len(values) for values in zip(*corners))

    def test_ratios_are_to_the_fastest_and_to_the_limit(self):
        found = self.panels(self.draw(metered(100), row("large", "glibc", 30, 150),
                                      row("large", "stepwell", 20, 102)))["large"]
        self.assertEqual(found["glibc"][:2], (1.5, 1.5))
        self.assertEqual(found["stepwell"][:2], (1.0, 1.02))

    def test_without_a_limit_the_leanest_is_the_measure(self):
        found = self.panels(self.draw(row("small", "glibc", 20, 50),
                                      row("small", "stepwell", 40, 60)))["small"]
        self.assertEqual(found["glibc"][:2], (1.0, 1.0))
        self.assertEqual(found["stepwell"][:2], (2.0, 1.2))

    def test_slower_is_higher_and_larger_is_further_right(self):
        found = self.panels(self.draw(metered(100), row("large", "glibc", 30, 150),
                                      row("large", "stepwell", 20, 102)))["large"]
        self.assertGreater(found["glibc"][2], found["stepwell"][2])
        self.assertLess(found["glibc"][3], found["stepwell"][3])

    def test_the_corner_is_at_the_same_place_in_every_panel(self):
        found = self.panels(self.draw(metered(100), row("large", "glibc", 30, 900),
                                      row("large", "stepwell", 20, 100),
                                      row("small", "stepwell", 5, 5), row("small", "glibc", 6, 6)))
        self.assertEqual(found["large"]["stepwell"], found["small"]["stepwell"])

    def test_the_scale_reaches_no_further_than_it_must(self):
        found = self.panels(self.draw(row("small", "glibc", 12, 12),
                                      row("small", "stepwell", 10, 10)))["small"]
        left, top, width, height = picture.PLOT
        self.assertGreater(found["glibc"][2], left + width / 2)
        self.assertLess(found["glibc"][3], top + height / 2)

    def test_what_is_far_off_stands_at_the_edge(self):
        found = self.panels(self.draw(row("small", "glibc", 50000, 50),
                                      row("small", "stepwell", 1, 50)))["small"]
        _, top, _, height = picture.PLOT
        self.assertAlmostEqual(found["glibc"][3], top, places=1)
        self.assertGreater(found["stepwell"][3], top + height / 2)

    def test_points_are_medians_and_failed_runs_are_none(self):
        found = self.panels(self.draw(
            *(row("small", "glibc", time, 50, number=i) for i, time in enumerate((10, 90, 20))),
            row("small", "stepwell", 10, 50), row("small", "tcmalloc", failed="exit code 1")))
        self.assertEqual(found["small"]["glibc"][0], 2.0)
        self.assertEqual(set(found["small"]), {"glibc", "stepwell"})

    def test_the_legend_names_the_allocators_that_ran(self):
        root = self.draw(metered(100), row("large", "glibc", 1, 100),
                         row("large", "jemalloc-keep", 1, 100),
                         row("large", "tcmalloc", failed="exit code 1"))
        words = [element.text for element in root.findall(f"{SVG}text")]
        self.assertIn("glibc", words)
        self.assertIn("jemalloc-keep", words)
        self.assertNotIn("tcmalloc", words)
        self.assertNotIn(limits.METER, words)
        self.assertIn("seed 1 < 2", words)

    def test_every_setting_of_an_allocator_looks_its_own_way(self):
        names = ["glibc", "glibc-tuned", "jemalloc", "jemalloc-intel", "jemalloc-keep",
                 "jemalloc-keep-thp", "mimalloc", "tcmalloc", "tbb", "stepwell", "stepwell-pool"]
        self.assertEqual(len(set(picture.looks(names).values())), len(names))

    def test_a_program_without_points_has_no_panel(self):
        found = self.panels(self.draw(row("large", "glibc", 1, 100), row("small", "glibc", 1, 1)))
        self.assertEqual(set(found), {"small"})

    def test_a_time_of_nothing_is_no_point(self):
        found = self.panels(self.draw(row("small", "glibc", 0, 50),
                                      row("small", "stepwell", 1, 50)))["small"]
        self.assertEqual(set(found), {"stepwell"})

    def test_nothing_to_draw_is_said(self):
        with self.assertRaisesRegex(ValueError, "nothing to draw"):
            self.draw(row("small", "glibc", failed="exit code 1"))


if __name__ == "__main__":
    unittest.main()
