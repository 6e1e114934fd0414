"""Finds look-alike listings: genuine photos in an index, listings looked up in it, a threshold that decides."""

from lookalike.detection.decision import decide
from lookalike.detection.detector import Detector
from lookalike.policy.policy import Policy, Promise, Scope
from lookalike.scanning.parts import ScanSummary
from lookalike.scanning.scan import scan_listings

from .errors import ExpiredPolicyWarning, LookalikeError
from .records import BadRow, Finding, Listing, Match, Reference, Verdict, Verification

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
