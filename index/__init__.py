"""From vectors to the nearest references, in memory and on disk."""

if __name__ != "lookalike.index":
    raise ImportError(f"this folder is the package lookalike.index; import it by that name, not as {__name__!r}")
