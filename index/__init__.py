"""Unit vectors to the nearest references."""

if __name__ != "lookalike.index":
    raise ImportError(f"this folder is the package lookalike.index; import it by that name, not as {__name__!r}")
