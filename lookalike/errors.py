"""The errors this library raises, each one clear line: what came, what was needed, what to do.

LookalikeError
├── ImageReadError          a picture could not be read, or was refused
├── EncoderError            no encoder could be made of what was asked for
│   ├── UnknownModelError   no preset and no open_clip architecture of that name
│   └── WeightsError        weights are missing, can't be fetched, or are of another architecture
├── ReferenceIndexError             an index folder could not be used
│   ├── IndexNotFoundError  there is no index in that folder
│   ├── IndexDamagedError   a file of it is not what its manifest says
│   └── EncoderMismatchError  the index was built with another encoder
├── FeaturesError           stored local features are not what was written
├── TableError              a table lacks a column, is empty or can't be parsed
├── ScanStateError          what a scan left for the next one is damaged, or does not fit
├── PolicyError             a policy file is wrong, or is for another encoder
├── BundleError             an evidence bundle can't be made, or is none
├── HistoryError            a history is not as it was written, or an entry can't be added
├── EngineError             the cluster that work runs on can't be reached, or failed
└── MissingExtraError       an optional package is not installed

ExpiredPolicyWarning        a policy is used after the day that it was good for
"""

from __future__ import annotations


class LookalikeError(Exception):
    """Base of every error that this library raises on purpose; `str(error)` is one line."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class ImageReadError(LookalikeError):
    """A picture could not be read, or was refused; `source` says which, `reason` is a short stable word."""

    def __init__(self, message: str, *, source: str = "", reason: str = "unreadable") -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason


class EncoderError(LookalikeError):
    """No encoder could be made of what was asked for."""


class UnknownModelError(EncoderError):
    """There is no preset and no open_clip architecture of that name."""


class WeightsError(EncoderError):
    """Weights are missing, can't be fetched, or are of another architecture."""


class ReferenceIndexError(LookalikeError):
    """An index folder could not be used."""


class IndexNotFoundError(ReferenceIndexError):
    """There is no index in that folder."""


class IndexDamagedError(ReferenceIndexError):
    """A file of the index is not what its manifest says, or of a format this version doesn't know."""


class EncoderMismatchError(ReferenceIndexError):
    """The index was built with another encoder than the one given."""


class FeaturesError(LookalikeError):
    """Stored local features are damaged, or of a format this version doesn't know."""


class TableError(LookalikeError):
    """A table lacks a column, is empty or can't be parsed."""


class ScanStateError(LookalikeError):
    """What a scan left for the next one is damaged, of a format this version doesn't know, or does not fit."""


class PolicyError(LookalikeError):
    """A policy file is wrong, or is meant for another encoder."""


class BundleError(LookalikeError):
    """An evidence bundle can't be made of what was given, or what should be one can't be read as one."""


class HistoryError(LookalikeError):
    """A history is not as it was written, or what should be added to it is no entry."""


class EngineError(LookalikeError):
    """The cluster that work runs on can't be reached, or failed in a way that trying again did not help."""


class MissingExtraError(LookalikeError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package {package}; install it with: pip install 'lookalike[{extra}]'")


class ExpiredPolicyWarning(UserWarning):
    """A policy is used after the day that it was good for; its thresholds apply, its promise doesn't hold."""
