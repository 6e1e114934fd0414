"""The policies that ship, one for an encoder, and what people call them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from lookalike.errors import PolicyError

from .policy import Policy, parse

NAME = "shipped"
"""What a person calls the policy that ships for the encoder at hand. With a colon and a name, it is a certain one."""

_BUILT_IN = "embedded"


def default_policy(weights_sha256: str) -> Policy | None:
    """The shipped policy for the encoder with these weights, or None."""
    return next((policy for policy in shipped_policies() if policy.weights_sha256 == weights_sha256), None)


def default_policy_text(weights_sha256: str) -> str | None:
    """The file of the shipped policy for the encoder with these weights, or None."""
    return next((text for _, text, policy in _shipped() if policy.weights_sha256 == weights_sha256), None)


def shipped_policies() -> list[Policy]:
    """All policies that ship."""
    return [policy for _, _, policy in _shipped()]


def is_shipped(given: str | Path) -> bool:
    """Whether this names a policy that ships, and no file.

    >>> is_shipped("shipped"), is_shipped("shipped:copies"), is_shipped("./shipped"), is_shipped("policy.toml")
    (True, True, False, False)
    """
    return str(given).partition(":")[0] == NAME


def open_policy(given: str | Path, *, encoder: str | None = None) -> Policy:
    """The policy of a file, or one that ships: "shipped" for the one of the encoder, "shipped:copies" for that one.

    `encoder` is named as findings name it; None is the built-in one. Raises PolicyError if no such policy ships, and
    as `Policy.load` does.
    """
    if not is_shipped(given):
        return Policy.load(given)
    known = {name: policy for name, _, policy in _shipped()}
    name = str(given).partition(":")[2]
    if not name and encoder is not None:
        weights = encoder.rpartition("@")[2]
        name = next((each for each, policy in known.items() if f"{policy.weights_sha256}".startswith(weights)), "")
        if not name:
            raise PolicyError(f"no policy ships for {encoder}; give a policy.toml that was tuned for it")
    if (name or _BUILT_IN) not in known:
        listed = ", ".join(f"{NAME}:{each}" for each in sorted(known))
        raise PolicyError(f"no policy called {str(given)[:60]} ships; use {NAME}, {listed}, or a file like policy.toml")
    return known[name or _BUILT_IN]


def _shipped() -> Iterator[tuple[str, str, Policy]]:
    """The name, the text and the policy of each."""
    for entry in (files("lookalike.policy") / "shipped").iterdir():
        text = entry.read_text(encoding="utf-8")
        yield entry.name.removesuffix(".toml"), text, parse(text, source=entry.name, folder=None)
