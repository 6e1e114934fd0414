"""Pictures to unit vectors."""

if __name__ != "lookalike.model":
    raise ImportError(f"this folder is the package lookalike.model; import it by that name, not as {__name__!r}")
