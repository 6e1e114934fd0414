"""Finds look-alike listings: genuine photos in an index, listings looked up in it, a threshold that decides."""

from .decision import Policy, decide
from .detector import Detector
from .errors import LookalikeError
from .records import BadRow, Finding, Listing, Match, Reference, Verdict, Verification
from .scan import ScanSummary, scan_listings

__all__ = [
    "BadRow",
    "Detector",
    "Finding",
    "Listing",
    "LookalikeError",
    "Match",
    "Policy",
    "Reference",
    "ScanSummary",
    "Verdict",
    "Verification",
    "decide",
    "scan_listings",
]
