"""The table in Markdown: a row for each program, a column for each allocator, in ratios."""
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


def has_both(program):
    return len(program.columns) > 1 and all(column.ratios for column in program.columns[:2])


def row_of(first, all_both):
    cells = [" · ".join(map(table.show_ratio, both)) for both in all_both]
    return f"| {' | '.join([first, *cells])} |"


def mean_of(all_both):
    return [table.geometric_mean(values) for values in zip(*all_both)]


def render(programs, rows, allocators):
    """Only programs with a time and a memory column that are compared."""
    shown, summaries, order = table.gather(programs, rows, allocators)
    cells = {p.name: [both_of(p, summaries[p.name], allocator) for allocator in order]
             for p in shown if has_both(p)}
    lines = [f"| {' | '.join(['program', *order])} |", "|" + " --- |" * (len(order) + 1)]
    lines += [row_of(name, all_both) for name, all_both in cells.items()]
    lines.append(row_of("geometric mean", map(mean_of, zip(*cells.values()))))
    return "\n".join(lines) + "\n"
