"""Finds look-alike listings: genuine photos in an index, listings looked up in it, a threshold that decides."""

from .decision import decide
from .detector import Detector
from .errors import ExpiredPolicyWarning, LookalikeError
from .policy import Policy, Promise, Scope
from .records import BadRow, Finding, Listing, Match, Reference, Verdict, Verification
from .scan import ScanSummary, scan_listings

__all__ = [
    "BadRow",
    "Detector",
    "ExpiredPolicyWarning",
    "Finding",
    "Listing",
    "LookalikeError",
    "Match",
    "Policy",
    "Promise",
    "Reference",
    "ScanSummary",
    "Scope",
    "Verdict",
    "Verification",
    "decide",
    "scan_listings",
]
