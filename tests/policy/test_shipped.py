"""The policies that ship have names: a person need not copy a file out of the package in order to look at one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.errors import PolicyError
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import open_policy, shipped_policies


def test_shipped_is_the_policy_of_the_encoder_at_hand_and_without_one_of_the_built_in_encoder() -> None:
    built_in, copies = open_policy("shipped"), open_policy("shipped:copies")
    assert {built_in.name, copies.name} == {"embedded-default", "copies-default"}
    assert open_policy(Path("shipped"), encoder=f"copies@{str(copies.weights_sha256)[:8]}") == copies
    assert {str(policy) for policy in shipped_policies()} >= {str(built_in), str(copies)}


def test_what_does_not_ship_is_refused_with_what_does() -> None:
    with pytest.raises(PolicyError, match="shipped:nothing ships; use shipped, shipped:copies, shipped:embedded,"):
        open_policy("shipped:nothing")
    with pytest.raises(PolicyError, match="no policy ships for mine@12345678; give a policy.toml"):
        open_policy("shipped", encoder="mine@12345678")


def test_a_file_called_shipped_is_read_by_its_path(tmp_path: Path) -> None:
    Policy("mine", 0.9, 0.5).save(tmp_path / "shipped")
    assert open_policy(tmp_path / "shipped").name == "mine"
