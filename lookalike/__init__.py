"""Finds look-alike listings: genuine photos go into an index, listings are looked up in it, and thresholds decide.

The public names are those in `__init__.pyi`. Each is imported when it is first used, so `import lookalike` is quick.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "__version__"])
