"""What the entries of a policy file may be: a type, its bounds, and the words for both in an error message.

The dataclasses of this room annotate their fields with these types, and pydantic checks them when it parses a file.
pydantic is imported only then, so `import lookalike` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

T = TypeVar("T")


@dataclass(frozen=True)
class Exactly:
    """Accepts a finite number, true or false, or a date as TOML writes it, and converts nothing: no quotes, no "1".

    `expected` completes the sentence "thresholds.flag is 'high', expected …". A whole number may be written as 4.0.
    """

    expected: str
    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, _: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        schema: CoreSchema
        if source is date:
            schema = core_schema.date_schema(strict=True)
        elif source is bool:
            schema = core_schema.bool_schema(strict=True)
        else:
            schema = core_schema.float_schema(
                strict=True, allow_inf_nan=False, ge=self.ge, le=self.le, gt=self.gt, lt=self.lt
            )
        if source is int:
            schema = core_schema.chain_schema([schema, core_schema.int_schema()])
        return core_schema.custom_error_schema(schema, "policy_entry", custom_error_message=self.expected)


class NoneIfMissing:
    """Lets a file leave out a field that has no default."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.with_default_schema(handler(source), default=None)


class NoneIfEmpty:
    """Reads a table without entries as None."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            lambda table: None if table == {} else table, handler(source)
        )


Number = Annotated[float, Exactly("a number")]
Share = Annotated[float, Exactly("a number between 0 and 1", gt=0, lt=1)]
Coefficient = Annotated[float, Exactly("a number from -10000 to 10000", ge=-1e4, le=1e4)]
Count = Annotated[int, Exactly("a whole number from 0 to a billion", ge=0, le=1e9)]
# a listing's photos and a photo's references that are compared: its cost stays bounded
Compared = Annotated[int, Exactly("a whole number from 0 to 50", ge=0, le=50)]
# parts of a photo, each of which takes about as long as the photo
Parts = Annotated[int, Exactly("a whole number from 0 to 8", ge=0, le=8)]
Truth = Annotated[bool, Exactly("true or false")]
Day = Annotated[date, Exactly("a date like 2026-12-31 without quotes")]
OptionalTable = Annotated[T | None, NoneIfEmpty()]
