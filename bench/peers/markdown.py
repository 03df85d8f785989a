"""The table for README.md: a row for each program, a column for each allocator, in ratios."""
import table

OVERHEAD = "overhead"  # is a ratio already: to the least possible


def memory_of(summary, allocator, column):
    if column.key == OVERHEAD:
        return table.median_of(summary, allocator, OVERHEAD)
    return table.ratios(summary, allocator, column.key)[0]


def both_of(program, summary, allocator):
    """(time, memory) of a program under an allocator; None for what was not measured."""
    time, memory = program.columns[:2]
    return (table.ratios(summary, allocator, time.key)[0],
            memory_of(summary, allocator, memory))


def show_cell(both):
    return " · ".join(map(table.show_ratio, both))


def row_of(cells):
    return f"| {' | '.join(cells)} |"


def render(programs, rows, allocators):
    """Only programs with a time and a memory column that are compared."""
    by_program = {}
    for row in rows:
        by_program.setdefault(row["program"], []).append(row)
    shown = [program for program in programs if program.name in by_program
             and len(program.columns) > 1 and all(c.ratios for c in program.columns[:2])]
    order = table.in_order(list(dict.fromkeys(row["allocator"] for row in rows)), allocators)
    lines = [row_of(["program", *order]), row_of(["---"] * (len(order) + 1))]
    means = {allocator: [] for allocator in order}
    for program in shown:
        summary = table.summarise(by_program[program.name], program.columns)
        cells = {allocator: both_of(program, summary, allocator) for allocator in order}
        lines.append(row_of([program.name, *map(show_cell, cells.values())]))
        for allocator, both in cells.items():
            means[allocator].append(both)
    together = [[table.geometric_mean(both[i] for both in means[allocator]) for i in (0, 1)]
                for allocator in order]
    lines.append(row_of(["geometric mean", *map(show_cell, together)]))
    return "\n".join(lines) + "\n"
