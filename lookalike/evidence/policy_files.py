"""The policy that findings were made with, as files in their bundle."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import PolicyError
from lookalike.policy.policy import Policy, parse
from lookalike.policy.shipped import default_policy_text, is_shipped, open_policy

from .archive import MOST_FILE_BYTES, is_safe_name

if TYPE_CHECKING:
    from lookalike.index.reference_index import ReferenceIndex

POLICY = "policy/policy.toml"
_POLICY_BYTES = 1 << 24


def policy_files(path: str | Path | None, index: ReferenceIndex) -> tuple[dict[str, bytes], Policy]:
    """The bytes of a policy file and of its cohort, by their names in a bundle, and the policy itself.

    Without a path, the policy that ships for the index's encoder. Raises PolicyError if there is none, for a cohort
    whose file name a bundle can't contain, and where Policy.load does.
    """
    if path is None or is_shipped(path):
        named = index.spec.weights_sha256 if path is None else open_policy(path, encoder=str(index.spec)).weights_sha256
        text = default_policy_text(str(named))
        if text is None:
            raise PolicyError(f"no policy ships for {index.spec}; give the one the findings were made with")
        return {POLICY: text.encode()}, parse(text, source="that ships", folder=None)
    path, policy = Path(path), Policy.load(path)
    files = {POLICY: path.read_bytes()}
    if policy.cohort is not None:
        name = str(tomllib.loads(files[POLICY].decode())["cohort"]["file"])
        if not is_safe_name(f"policy/{name}") or f"policy/{name}".lower() == POLICY:
            raise PolicyError(
                f"the cohort of {path} is named {name!r}; give it a name of letters, digits, dots and dashes"
            )
        files[f"policy/{name}"] = (path.parent / name).read_bytes()
    return files, policy


def load_policy(files: Mapping[str, bytes], *, name: str) -> Policy:
    """The policy called `name`, from a bundle's files under policy/. Raises PolicyError as Policy.load does."""
    if sum(len(data) for data in files.values()) > MOST_FILE_BYTES or len(files.get(POLICY, b"")) > _POLICY_BYTES:
        raise PolicyError(f"the bundle's {POLICY} has more than {_POLICY_BYTES:,} bytes, so it is not a policy")
    with tempfile.TemporaryDirectory() as folder:
        for file, data in files.items():
            if file != POLICY:
                Path(folder, Path(file).name).write_bytes(data)
        try:
            text = files[POLICY].decode()
        except (KeyError, UnicodeDecodeError) as error:
            raise PolicyError(f"the bundle's {POLICY} can't be read ({type(error).__name__})") from error
        return parse(text, source=f"{name}.toml", folder=Path(folder))
