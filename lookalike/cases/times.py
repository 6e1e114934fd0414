"""Times as tables write them."""

from __future__ import annotations

from datetime import UTC, datetime

from lookalike.errors import TableError


def read_time(value: object, what: str) -> datetime | None:
    """A time by ISO 8601, in UTC if it names no zone; None for None and empty text.

    Raises TableError for anything else; `what` names it there.

    >>> read_time("2026-11-24T09:05:00", "the finding").isoformat()
    '2026-11-24T09:05:00+00:00'
    """
    if value in (None, ""):
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise TableError(
            f"{what} has the time {str(value)[:40]!r}, which is not valid; write it like 2026-11-24T09:05:00+00:00"
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
