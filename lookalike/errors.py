"""The errors that this library raises. Each is one line: what happened, what was expected, what to do.

LookalikeError
├── ImageReadError            a picture can't be read, or is refused
├── EncoderError              an encoder can't be made
│   ├── UnknownModelError     no preset or open_clip architecture has that name
│   └── WeightsError          weights are missing, can't be fetched, or belong to another architecture
├── ReferenceIndexError       an index can't be used
│   ├── IndexNotFoundError    the folder holds no index
│   ├── IndexDamagedError     a file differs from what the manifest says
│   ├── IndexBusyError        another process is changing the index
│   └── EncoderMismatchError  the index was built with another encoder
├── FeaturesError             stored local features are damaged
├── TableError                a table lacks a column, is empty or can't be parsed
├── ScanStateError            the state of the last scan is damaged or doesn't fit
├── PolicyError               a policy is wrong, or is for another encoder
├── BundleError               an evidence bundle can't be made or read
├── HistoryError              a history was changed, or an entry can't be added
├── EngineError               the cluster can't be reached, or failed
└── MissingExtraError         an optional package is not installed

PolicyWarning                 a policy judges, but its promise doesn't hold here
├── ExpiredPolicyWarning      a policy is used after its last day
└── ChangedIndexWarning       a policy is used on another index than it was tuned on
"""

from __future__ import annotations


class LookalikeError(Exception):
    """Base of every error that this library raises on purpose. `str(error)` is one line."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class ImageReadError(LookalikeError):
    """A picture can't be read, or is refused. `source` names it, and `reason` is a short, stable word."""

    def __init__(self, message: str, *, source: str = "", reason: str = "unreadable") -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason


class EncoderError(LookalikeError):
    """An encoder can't be made."""


class UnknownModelError(EncoderError):
    """No preset or open_clip architecture has that name."""


class WeightsError(EncoderError):
    """Weights are missing, can't be fetched, or belong to another architecture."""


class ReferenceIndexError(LookalikeError):
    """An index can't be used."""


class IndexNotFoundError(ReferenceIndexError):
    """The folder holds no index."""


class IndexDamagedError(ReferenceIndexError):
    """A file of the index differs from what the manifest says, or has a format that this version doesn't know."""


class IndexBusyError(ReferenceIndexError):
    """Another process is changing the index."""


class EncoderMismatchError(ReferenceIndexError):
    """The index was built with another encoder."""


class FeaturesError(LookalikeError):
    """Stored local features are damaged, or have a format that this version doesn't know."""


class TableError(LookalikeError):
    """A table lacks a column, is empty or can't be parsed."""


class ScanStateError(LookalikeError):
    """The state of the last scan is damaged, has a format that this version doesn't know, or doesn't fit."""


class PolicyError(LookalikeError):
    """A policy is wrong, or is for another encoder."""


class BundleError(LookalikeError):
    """An evidence bundle can't be made or read."""


class HistoryError(LookalikeError):
    """A history was changed, or an entry can't be added."""


class EngineError(LookalikeError):
    """The cluster can't be reached, or failed even after trying again."""


class MissingExtraError(LookalikeError):
    """An optional package is not installed. The message names the extra that installs it, or another `command`."""

    def __init__(self, package: str, extra: str, *, command: str | None = None) -> None:
        how = command or f"pip install 'lookalike[{extra}]'"
        super().__init__(f"this needs the package {package}; install it with: {how}")


class PolicyWarning(UserWarning):
    """A policy's thresholds apply, but its promise doesn't hold here."""


class ExpiredPolicyWarning(PolicyWarning):
    """A policy is used after its last day."""


class ChangedIndexWarning(PolicyWarning):
    """A policy is used on another index than it was tuned on, for example after references were added."""
