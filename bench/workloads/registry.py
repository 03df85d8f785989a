"""What a workload is, and the decorator with which a module lists its own."""
import typing


class Workload(typing.NamedTuple):
    name: str
    about: str  # one line
    build: typing.Callable  # takes the number of threads, returns step and forget
    steps: int  # odd, so that the median is one of them; a run takes a few seconds
    modules: tuple  # each with its Debian package
    two_threads: bool  # worth a run with two as well
    own_threads: bool  # computes in threads or processes of its own, whatever --threads is
    small: bool  # needs so little that the whole process is what there is to compare


def add_to(workloads, modules, steps, two_threads=False, own_threads=False, small=False):
    def note(build):
        about = build.__doc__.splitlines()[0]
        workloads.append(Workload(build.__name__, about, build, steps, modules, two_threads,
                                  own_threads, small))
        return build
    return note
