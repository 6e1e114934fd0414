"""One file per command of `lookalike`; each is also run as `python scripts/NAME.py`."""
