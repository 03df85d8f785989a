"""The suites: each file here is one, found by its name, and ends in SUITE."""
import importlib
import pathlib


def names():
    return sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[a-z]*.py"))


def load(name):
    return importlib.import_module(f"suites.{name}").SUITE
