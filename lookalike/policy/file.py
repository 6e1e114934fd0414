"""policy.toml: the tables and entries that it may have, read and written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_type_hints

from lookalike.disk import written
from lookalike.errors import PolicyError
from lookalike.rights.claims import Claims

from .cohort_file import CohortTable
from .entries import Day, OptionalTable
from .fusion import Fusion
from .terms import Promise, Reach, Scope
from .tuned_on import TunedOn

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

_LARGEST = 1 << 24
_EXAMPLE = "[thresholds] flag = 0.8 review = 0.7"
_EXPECTED = {"dataclass_type": "a table", "tuple_type": "a list", "string_type": "text in quotes"}
_SHOWN = 40


@dataclass(frozen=True)
class EncoderTable:
    """The encoder that the thresholds were set on; `name` is for people."""

    name: str | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True)
class IndexTable:
    """The index that the thresholds were set on."""

    digest: str | None = None


@dataclass(frozen=True)
class PolicyFile:
    """The entries of a policy.toml; any other is refused."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    thresholds: Scope
    name: str | None = None
    about: str = ""
    created: Day | None = None
    expires: Day | None = None
    promise: OptionalTable[Promise] = None
    encoder: EncoderTable = EncoderTable()
    index: IndexTable = IndexTable()
    cohort: OptionalTable[CohortTable] = None
    verification: Reach = field(default_factory=Reach)
    fusion: OptionalTable[Fusion] = None
    claims: Claims = field(default_factory=Claims)
    scopes: tuple[Scope, ...] = ()
    tuned_on: OptionalTable[TunedOn] = None

    def __post_init__(self) -> None:
        for name in ("brand", "territory"):
            if value := getattr(self.thresholds, name):
                raise PolicyError(f"thresholds.{name} is {_shown(value)}, expected it under [[scopes]]")


def read_text(path: Path) -> str:
    """The text of a policy file. Raises PolicyError if it can't be read, or is too large for a policy."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise PolicyError(f"policy {path} is larger than {_LARGEST >> 20} MiB, too large for a policy")
        return data.decode()
    except (OSError, ValueError) as error:
        raise PolicyError(f"policy {path} can't be read: {error}") from error


def parse_file(text: str, *, source: str) -> PolicyFile:
    """The entries of a policy's text; `source` names the file in errors.

    Raises PolicyError for text that is not TOML, and for the first entry that is missing, unknown or out of bounds.
    """
    from pydantic import ValidationError

    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"policy {source} is not valid TOML: {error}") from error
    try:
        return _adapter().validate_python(tables)
    except ValidationError as error:
        # a misspelt entry is why another is missing, so it comes first
        wrong = min(error.errors(include_url=False), key=lambda each: each["type"] != "unexpected_keyword_argument")
        raise PolicyError(f"policy {source}: {_complaint(wrong)}") from None
    except PolicyError as error:
        raise PolicyError(f"policy {source}: {error}") from None


def write_file(tables: Mapping[str, Any], path: Path) -> None:
    """Write the tables as TOML; the file appears whole or not at all."""
    import tomli_w

    with written(path) as temporary:
        temporary.write_bytes(tomli_w.dumps(tables, multiline_strings=True).encode())


@cache
def _adapter() -> TypeAdapter[PolicyFile]:
    from pydantic import TypeAdapter

    return TypeAdapter(PolicyFile)


def _complaint(error: ErrorDetails) -> str:
    """What is wrong with an entry, and what was expected."""
    *table, _ = error["loc"]
    entry = _path(error["loc"])
    if error["type"] == "missing":
        return f"{entry} is missing" + (f"; write at least {_EXAMPLE}" if entry.startswith("thresholds") else "")
    if error["type"] == "unexpected_keyword_argument":
        return f"{entry} is unknown, expected one of {', '.join(_entries(table))}"
    return f"{entry} is {_shown(error['input'])}, expected {_EXPECTED.get(error['type'], error['msg'])}"


def _path(place: Sequence[str | int]) -> str:
    """The place of an entry as people write it.

    >>> _path(["scopes", 0, "evidence", "labels"])
    'scopes[0].evidence.labels'
    """
    path = ""
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part if part.isidentifier() and len(part) <= _SHOWN else _shown(part)}"
    return path.removeprefix(".")


def _entries(place: Sequence[str | int]) -> list[str]:
    """The entries that the table in this place may have."""
    table: Any = PolicyFile
    for name in place:
        if isinstance(name, str):
            hint = get_type_hints(table)[name]
            table = next(each for each in (hint, *get_args(hint)) if is_dataclass(each))
    return [each.name for each in fields(table)]


def _shown(value: object) -> str:
    """A value of a TOML file, as it is written there where that is short."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")
        case int() if value.bit_length() > 64:
            return "a huge number"
    return str(value)
