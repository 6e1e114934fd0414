"""Doctests of printing/ and building/ run only where Skia is installed, which the extra `render` brings."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("skia") else ["printing/*.py", "building/*.py"]
