"""Small objects: the shapes that allocators are commonly compared on, and what a process costs."""
from program import CPU, FAULTS, RESIDENT, Program, Suite


def python(name, about, code, modules=()):
    """A Python that runs a line of code."""
    return Program(name, about, ("{python}", "-c", code), modules=modules,
                   columns=(CPU, RESIDENT, FAULTS))


SUITE = Suite("small", "small objects, and the base cost of a process", (
    Program("trivial", "a process that does nothing", ("/bin/true",)),
    python("python", "an interpreter that does nothing", "pass"),
    python("import-torch", "python3 -c 'import torch'", "import torch",
           (("torch", "python3-torch"),)),
))
