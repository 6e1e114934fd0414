"""Doctests of this folder are run where Skia is, which the extra `render` brings."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("skia") else ["*.py"]
