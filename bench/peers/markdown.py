"""The table in Markdown: a row for each program, a column for each allocator, in ratios."""
import itertools

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


def mean_of(all_both, are_to_least):
    """Of memory where some of it is to the least possible: of that alone."""
    times, memories = zip(*all_both)
    if any(are_to_least):
        memories = itertools.compress(memories, are_to_least)
    return table.geometric_mean(times), table.geometric_mean(memories)


def render(programs, rows, allocators):
    """Only programs with a time and a memory column that are compared."""
    shown, summaries, order = table.gather(programs, rows, allocators)
    compared = [program for program in shown if has_both(program)]
    are_to_least = [program.columns[1].key == OVERHEAD for program in compared]
    cells = {p.name: [both_of(p, summaries[p.name], allocator) for allocator in order]
             for p in compared}
    lines = [f"| {' | '.join(['program', *order])} |", "|" + " --- |" * (len(order) + 1)]
    lines += [row_of(name, all_both) for name, all_both in cells.items()]
    lines.append(row_of("geometric mean",
                        [mean_of(of_one, are_to_least) for of_one in zip(*cells.values())]))
    return "\n".join(lines) + "\n"
