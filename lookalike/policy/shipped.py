"""The policies that ship, one for an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from .policy import Policy, parse


def default_policy(weights_sha256: str) -> Policy | None:
    """The shipped policy for the encoder with these weights, or None."""
    return next((policy for policy in shipped_policies() if policy.weights_sha256 == weights_sha256), None)


def default_policy_text(weights_sha256: str) -> str | None:
    """The file of the shipped policy for the encoder with these weights, or None."""
    return next((text for text, policy in _shipped() if policy.weights_sha256 == weights_sha256), None)


def shipped_policies() -> list[Policy]:
    """All policies that ship."""
    return [policy for _, policy in _shipped()]


def _shipped() -> Iterator[tuple[str, Policy]]:
    for entry in (files("lookalike.policy") / "shipped").iterdir():
        text = entry.read_text(encoding="utf-8")
        yield text, parse(text, source=entry.name, folder=None)
