"""The table: medians over the rounds, their spread, and ratios to glibc and to the best peer."""
import math
import statistics

CLEARLY_WORSE = 1.05
BYTES = {"KiB": 1 << 10, "MiB": 1 << 20}


def numbers_of(rows, column):
    """(median, least, most) of one allocator's rows; None where no row has any."""
    values = [row[column.key] for row in rows if column.key in row]
    if values and column.of:  # it is told of that one run
        middle = statistics.median_low(row[column.of] for row in rows if column.of in row)
        values = [row[column.key] for row in rows if row.get(column.of) == middle]
        return (values[0],) * 3
    return (statistics.median(values), min(values), max(values)) if values else None


def has_failed(rows):
    """One timed run that failed takes the others along: who ends half of the time is not fast."""
    return any(row["failed"] and row["round"] for row in rows)


def summarise(rows, columns):
    """{allocator: {key: (median, least, most)}} of one program's rows; one that failed has none."""
    by_allocator = {}
    for row in rows:
        by_allocator.setdefault(row["allocator"], []).append(row)
    found = {allocator: {} if has_failed(its) else
             {column.key: numbers_of(its, column) for column in columns}
             for allocator, its in by_allocator.items()}
    return {allocator: {key: value for key, value in numbers.items() if value}
            for allocator, numbers in found.items()}


def is_ours(allocator):
    return allocator == "stepwell" or allocator.startswith("stepwell-")


def ratio(value, base):
    """None where nothing can be said."""
    if value is None or base is None:
        return None
    if base == 0:
        return 1.0 if value == 0 else math.inf
    return value / base


def median_of(summary, allocator, key):
    return summary.get(allocator, {}).get(key, (None,))[0]


def best_peer(summary, key):
    """The least median of an allocator that is not ours, or None."""
    medians = [numbers[key][0] for allocator, numbers in summary.items()
               if key in numbers and not is_ours(allocator)]
    return min(medians, default=None)


def ratios(summary, allocator, key):
    """(to glibc, to the best peer)."""
    value = median_of(summary, allocator, key)
    return (ratio(value, median_of(summary, "glibc", key)), ratio(value, best_peer(summary, key)))


def show_number(value, unit):
    value /= BYTES.get(unit, 1)
    if value >= 1000 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.{2 if value < 10 else 1}f}"


def show_ratio(value):
    return "-" if value is None else f"{value:.2f}"


def headings(columns):
    cells = ["allocator"]
    for index, column in enumerate(columns):
        cells.append(f"{column.title} {column.unit}".strip())
        if index == 0:
            cells.append("min..max")
        if column.ratios:
            cells += ["/glibc", "/best"]
    return cells


def line_of(summary, allocator, columns, failed):
    """The allocator's cells, under headings()."""
    cells = [allocator]
    for index, column in enumerate(columns):
        numbers = summary[allocator].get(column.key)
        nothing = "failed" if allocator in failed else "-"
        cells.append(show_number(numbers[0], column.unit) if numbers else nothing)
        if index == 0:
            cells.append("..".join(show_number(n, column.unit) for n in numbers[1:])
                         if numbers else "-")
        if column.ratios:
            cells += [show_ratio(r) for r in ratios(summary, allocator, column.key)]
    return cells


def lay_out(lines):
    """The cells as text: the first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines)]
    return ["  ".join([line[0].ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]).rstrip()
            for line in lines]


def in_order(names, allocators):
    """The allocators that have rows, in the order they were asked for, unknown ones last."""
    return [n for n in allocators if n in names] + [n for n in names if n not in allocators]


def shown_columns(columns, summary):
    """Time and memory, and of the others those that were looked at: not all are in every run."""
    return [column for index, column in enumerate(columns)
            if index < 2 or any(column.key in numbers for numbers in summary.values())]


def program_lines(program, summary, order, failed):
    columns = shown_columns(program.columns, summary)
    lines = [headings(columns)]
    lines += [line_of(summary, allocator, columns, failed) for allocator in order]
    return [f"{program.name}: {program.about}", *lay_out(lines), ""]


def geometric_mean(values):
    """None where one is missing: an allocator must not gain by failing on its worst program."""
    values = list(values)
    if not values or not all(value is not None and 0 < value < math.inf for value in values):
        return None
    return math.exp(statistics.fmean(map(math.log, values)))


def overall_lines(programs, summaries, order):
    """All programs together: geometric means of the ratios of the first two columns."""
    lines = [["all programs", "time/glibc", "/best", "memory/glibc", "/best"]]
    for allocator in order:
        cells = [allocator]
        for index in (0, 1):
            pairs = [ratios(summaries[p.name], allocator, p.columns[index].key)
                     for p in programs if len(p.columns) > index and p.columns[index].ratios]
            cells += [show_ratio(geometric_mean(pair[i] for pair in pairs)) for i in (0, 1)]
        lines.append(cells)
    return [*lay_out(lines), ""]


def worse_lines(programs, summaries, order):
    """Where one of ours is clearly worse than the best peer."""
    lines = []
    for allocator in filter(is_ours, order):
        for index, word in ((0, "time"), (1, "memory")):
            worse = []
            for program in programs:
                if len(program.columns) > index and program.columns[index].ratios:
                    to_best = ratios(summaries[program.name], allocator,
                                     program.columns[index].key)[1]
                    if to_best is not None and to_best > CLEARLY_WORSE:
                        worse.append(f"{program.name} ({to_best:.2f})")
            if worse:
                lines.append(f"{allocator}: {word} above {CLEARLY_WORSE} x the best peer's: "
                             f"{', '.join(worse)}")
    return lines


def gather(programs, rows, allocators):
    """(the programs that have rows, {name: summary} of them, the allocators in the table's order)."""
    by_program = {}
    for row in rows:
        by_program.setdefault(row["program"], []).append(row)
    shown = [program for program in programs if program.name in by_program]
    summaries = {p.name: summarise(by_program[p.name], p.columns) for p in shown}
    return shown, summaries, in_order(list(dict.fromkeys(row["allocator"] for row in rows)),
                                      allocators)


def render(programs, rows, allocators):
    """The whole table as text. Programs without rows are left out."""
    shown, summaries, order = gather(programs, rows, allocators)
    lines = []
    for program in shown:
        present = [name for name in order if name in summaries[program.name]]
        failed = {row["allocator"] for row in rows
                  if row["program"] == program.name and row["failed"]}
        lines += program_lines(program, summaries[program.name], present, failed)
    lines += overall_lines(shown, summaries, order)
    lines += worse_lines(shown, summaries, order)
    return "\n".join(lines).rstrip() + "\n"
