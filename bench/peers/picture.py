"""Time against memory as one SVG file: a panel for each program, a point for each allocator.

Both axes are ratios and logarithmic. Time is a multiple of the fastest's. Memory is overhead, a
multiple of the least any allocator could hold; where a program needs too little for that to be
told, it is the process's peak, a multiple of the leanest's. So the corner, fast and lean, is where
both lines of 1 cross, in every panel at the same place; the scales reach as far as the points.

Colours are Okabe and Ito's, which stay apart for all kinds of colour vision; the shape tells
settings of the same allocator apart.
"""
import math
from xml.sax.saxutils import escape

import limits
import table

COLUMNS = 5
PANEL_WIDTH, PANEL_HEIGHT = 232, 216
PLOT = (44, 34, 172, 140)  # left, top, width, height inside its panel
MARGIN, TOP = 16, 122
AT_ONE = 0.1  # of an axis's length lies before 1: the point there is not cut
NEAR = 1.05  # the corner's edge
INK, FAINT, CORNER = "#222222", "#c8c8c8", "#cfe8cf"

COLOURS = {"glibc": "#5f5f5f", "jemalloc": "#e69f00", "mimalloc": "#009e73", "tcmalloc": "#0072b2",
           "tbb": "#cc79a7", "stepwell": "#d55e00"}
SHAPES = ("disc", "circle", "square", "triangle", "cross")  # of an allocator's settings, in turn

# How far an axis reaches, and what is marked on it.
SCALES = {1.25: (1, 1.1, 1.2), 1.6: (1, 1.2, 1.5), 2.1: (1, 1.5, 2), 3.2: (1, 1.5, 2, 3),
          5.4: (1, 2, 3, 5), 11: (1, 2, 5, 10), 32: (1, 3, 10, 30), 110: (1, 10, 100)}


# ---- Numbers -------------------------------------------------------------------------------------


class Panel:
    """A program's points: {allocator: (time, memory)}, both ratios."""

    def __init__(self, program, rows):
        time, memory = program.columns[:2]
        summary = table.summarise(rows, (time, memory))
        self.program = program
        self.is_overhead = memory.key == "overhead"
        whole = {name: (numbers[time.key][0], numbers[memory.key][0])
                 for name, numbers in summary.items()
                 if all(numbers.get(column.key, (0,))[0] > 0 for column in (time, memory))}
        fastest = min((t for t, _ in whole.values()), default=1)
        least = 1 if self.is_overhead else min((m for _, m in whole.values()), default=1)
        self.points = {name: (t / fastest, m / least) for name, (t, m) in whole.items()}

    def reach(self, axis):
        """Where the axis ends: the first scale that holds all points, else the last."""
        most = max(point[axis] for point in self.points.values())
        return next((end for end in SCALES if most <= 0.96 * end), max(SCALES))


def find_panels(programs, rows):
    rows = limits.apply(rows)
    panels = [Panel(program, [row for row in rows if row["program"] == program.name])
              for program in programs]
    return [panel for panel in panels if panel.points]


# ---- Drawing -------------------------------------------------------------------------------------


def text(x, y, words, size=11, anchor="middle", weight="normal", fill=INK, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{fill}"{more}>{escape(words)}</text>')


def line(x1, y1, x2, y2, stroke, more=""):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{stroke}"{more}/>')


def box(x, y, width, height, fill, more=""):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{fill}"{more}/>')


def family(allocator):
    return allocator.split("-")[0]


def looks(allocators):
    """{allocator: (colour, shape)}; ours alone is a diamond. A strategy of ours is hollow."""
    found, counts = {}, {}
    for name in allocators:
        index = counts.setdefault(family(name), 0)
        counts[family(name)] += 1
        shape = "diamond" if name == "stepwell" else SHAPES[index % len(SHAPES)]
        found[name] = (COLOURS.get(family(name), "#000000"), shape)
    return found


def mark(x, y, look, title=""):
    """The allocator's point, which tells its numbers when the pointer rests on it."""
    colour, shape = look
    size = 7 if shape == "diamond" else 5
    filled = f'fill="{colour}" stroke="#ffffff" stroke-width="1"'
    hollow = f'fill="none" stroke="{colour}" stroke-width="1.8"'

    def outline(*corners, style=hollow):
        points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
        return f'<polygon points="{points}" {style}/>'
    drawn = {
        "disc": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {filled}/>',
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {hollow}/>',
        "square": outline((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": outline((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),
        "cross": (line(x - size, y - size, x + size, y + size, colour, ' stroke-width="1.8"')
                  + line(x - size, y + size, x + size, y - size, colour, ' stroke-width="1.8"')),
        "diamond": outline((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0), style=filled),
    }[shape]
    return f"<g>{f'<title>{escape(title)}</title>' if title else ''}{drawn}</g>"


def along(value, end):
    """0 at the axis's beginning, 1 at its end; what lies outside stands at the edge."""
    return min(max(AT_ONE + (1 - AT_ONE) * math.log(value) / math.log(end), 0), 1)


def draw_axes(panel, to_x, to_y):
    left, top, width, height = PLOT
    right, bottom = left + width, top + height
    drawn = [box(left, top, width, height, "#ffffff"),
             box(left, to_y(NEAR), to_x(NEAR) - left, bottom - to_y(NEAR), CORNER)]
    for value in SCALES[panel.reach(1)]:
        style = ' stroke-dasharray="3 2"' if value == 1 else ""
        drawn.append(line(to_x(value), top, to_x(value), bottom, FAINT, style))
        drawn.append(text(to_x(value), bottom + 13, f"{value:g}", 10))
    for value in SCALES[panel.reach(0)]:
        style = ' stroke-dasharray="3 2"' if value == 1 else ""
        drawn.append(line(left, to_y(value), right, to_y(value), FAINT, style))
        drawn.append(text(left - 5, to_y(value) + 3.5, f"{value:g}", 10, "end"))
    return [*drawn, box(left, top, width, height, "none", f' stroke="{INK}" stroke-width="0.8"')]


def draw_labels(panel):
    left, top, width, height = PLOT
    memory = "memory / LB" if panel.is_overhead else "peak RSS / leanest"
    middle = top + height / 2
    turned = f' transform="rotate(-90 12 {middle})"'
    return [f"<title>{escape(panel.program.about)}</title>",
            text(left, top - 9, panel.program.name, 13, "start", "bold"),
            text(left + width / 2, top + height + 28, memory, 10.5),
            text(12, middle, f"{panel.program.columns[0].title} / fastest", 10.5, more=turned)]


def draw_panel(panel, styles):
    left, top, width, height = PLOT

    def to_x(memory):
        return left + width * along(memory, panel.reach(1))

    def to_y(time):
        return top + height * (1 - along(time, panel.reach(0)))
    drawn = draw_labels(panel) + draw_axes(panel, to_x, to_y)
    # Ours last, so that nothing hides it; nor does it hide much.
    for name in sorted(panel.points, key=table.is_ours):
        time, memory = panel.points[name]
        drawn.append(mark(to_x(memory), to_y(time), styles[name],
                          f"{name}: time {time:.2f}, memory {memory:.2f}"))
    return drawn


def draw_legend(styles, width):
    drawn, x, y = [], MARGIN + 8, 76
    for name, look in styles.items():
        step = 34 + 6.6 * len(name)
        if x + step > width - MARGIN:
            x, y = MARGIN + 8, y + 20
        drawn += [mark(x, y - 4, look), text(x + 12, y, name, 12, "start")]
        x += step
    return drawn


def draw_heading(suite, comments):
    source = " · ".join(comments)
    return [text(MARGIN, 26, f"Time against memory: {suite.about}", 18, "start", "bold"),
            text(MARGIN, 46, "Lower left is better: the green corner is as fast as the fastest and "
                 "as lean as can be, within 5 %. Logarithmic; medians of all rounds.", 12, "start"),
            text(MARGIN, 112, source, 10, "start", fill="#555555")]


def draw(suite, panels, allocators, comments):
    """The whole picture as text. allocators gives the legend's order."""
    columns = min(COLUMNS, max(len(panels), 3))
    width = 2 * MARGIN + columns * PANEL_WIDTH
    height = TOP + math.ceil(len(panels) / columns) * PANEL_HEIGHT + MARGIN
    present = {name for panel in panels for name in panel.points}
    styles = {name: look for name, look in looks(allocators).items() if name in present}
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">',
             box(0, 0, width, height, "#fafafa"), *draw_heading(suite, comments),
             *draw_legend(styles, width)]
    for index, panel in enumerate(panels):
        x = MARGIN + index % columns * PANEL_WIDTH
        y = TOP + index // columns * PANEL_HEIGHT
        drawn += [f'<g transform="translate({x} {y})">', *draw_panel(panel, styles), "</g>"]
    return "\n".join([*drawn, "</svg>"]) + "\n"


def save(path, suite, rows, allocators, comments):
    """Writes the picture of the suite's rows. ValueError where they have no point."""
    panels = find_panels(suite.programs, rows)
    if not panels:
        raise ValueError("no program has both a time and a memory: there is nothing to draw")
    order = table.in_order(list(dict.fromkeys(row["allocator"] for row in rows)), allocators)
    with open(path, "w", encoding="utf-8") as file:
        file.write(draw(suite, panels, [name for name in order if name != limits.METER], comments))
