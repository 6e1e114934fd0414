"""A policy taken over to an index that has changed since it was tuned."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from lookalike.errors import PolicyError

from .policy import Policy


def bind_policy(policy: Policy, *, weights_sha256: str, index_digest: str) -> Policy:
    """The policy bound to an index that has changed since it was tuned; its `about` says so.

    Raises PolicyError if the index's encoder has other weights than the policy's.
    """
    if policy.weights_sha256 not in (None, weights_sha256):
        raise PolicyError(
            f"policy {policy.name} is for an encoder with weights {str(policy.weights_sha256)[:8]}, but the index was "
            f"built with weights {weights_sha256[:8]}; tune it again on this index"
        )
    old = (policy.index_digest or "unknown")[:8]
    about = [policy.about, f"Taken over on {date.today()} from the index {old}: the promise was made there."]
    return replace(policy, index_digest=index_digest, about="\n".join(filter(None, about)))
