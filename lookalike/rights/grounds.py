"""What a verdict by rights and sellers rests on: a list of JSON objects in a finding, and the same in words.

Each object has a `ground`, which says what its other entries are:

| ground | entries |
|---|---|
| right | a right that could support a claim: kind, number (null for most copyright), territory (* everywhere) |
| further | how many more such rights there are: count |
| conflict | owners who claim the same right (kind, number, territory) or the same design (kind, product_id): owners |
| seller | who may sell: brand, seller_id, territory, valid_from, valid_until (each null without a limit) |
| unfair_competition | that imitation may be unfair here: territory |
| unsuited | rights that can't support this kind of match: kinds, match |
| ended, begins | a right that is not in force: kind, number, territory, day |
| elsewhere | where rights are in force that could support it: kind, territories, and how many further ones |
| no_right | that the brand has none anywhere: brand, match |
| listing | where the listing is: territory (null if it names none), known (false if that is no ISO 3166 code) |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .territories import EVERYWHERE

Ground = Mapping[str, Any]

_IN_ONE_ROW = ("right", "ended", "begins")


def grounds_of(text: object) -> list[Ground]:
    """The grounds in a cell of a findings table, none for an empty one.

    Raises ValueError for anything but a JSON list of objects, such as the words that older versions wrote.
    """
    if text in (None, ""):
        return []
    try:
        grounds = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ValueError("they are not JSON") from error
    if not isinstance(grounds, list) or not all(isinstance(ground, dict) for ground in grounds):
        raise ValueError("they are not a list of JSON objects")
    return grounds


def claimable(grounds: Iterable[Ground]) -> Iterator[str]:
    """The names of the grounds that could support a claim: rights, and the rules against unfair competition."""
    return (_words(ground) for ground in grounds if ground.get("ground") in ("right", "unfair_competition"))


def grounds_in_words(grounds: Iterable[Ground]) -> str:
    """The grounds as one line for people. Raises KeyError or TypeError for objects that are no grounds.

    >>> rights = [{"ground": "right", "kind": "trademark", "number": number, "territory": "DE"} for number in "12"]
    >>> grounds_in_words([*rights, {"ground": "further", "count": 3}])
    'trademark 1 in DE, trademark 2 in DE and 3 more'
    """
    said, last = "", None
    for ground in grounds:
        kind = ground["ground"]
        if said and kind != "further":
            said += ", " if last in _IN_ONE_ROW and kind in _IN_ONE_ROW else "; "
        said += _words(ground)
        last = kind
    return said


def cell_in_words(text: object) -> str | None:
    """The grounds in a cell of a findings table in words; text that is not such a list stays as it is."""
    if text in (None, ""):
        return None
    try:
        return grounds_in_words(grounds_of(text))
    except (ValueError, KeyError, TypeError):
        return str(text)


def basis_in_words(text: object) -> str | None:
    """The `rights_basis` of a findings table in words; text that is not a JSON object stays as it is.

    >>> basis_in_words('{"day": "2026-11-24", "claims": "1f0c", "rights": "3b9a"}')
    'the tables as of 2026-11-24: claims 1f0c, rights 3b9a'
    """
    try:
        basis = dict(json.loads(str(text)))
        return f"the tables as of {basis.pop('day')}: " + ", ".join(f"{name} {value}" for name, value in basis.items())
    except (ValueError, KeyError, TypeError, RecursionError):
        return None if text in (None, "") else str(text)


def _words(ground: Ground) -> str:
    return _IN_WORDS[ground["ground"]](ground)


def _name(ground: Ground) -> str:
    return " ".join(filter(None, (ground["kind"], ground["number"]))) + _place(ground["territory"])


def _place(territory: str) -> str:
    return " everywhere" if territory == EVERYWHERE else f" in {territory}"


def _conflict(ground: Ground) -> str:
    what = f"the {ground['kind']} of {ground['product_id']}" if "product_id" in ground else _name(ground)
    return f"conflict: {what} is claimed by {' and '.join(ground['owners'])}"


def _seller(ground: Ground) -> str:
    limits = (f" {word} {ground[name]}" for word, name in (("from", "valid_from"), ("until", "valid_until"))
              if ground[name] is not None)  # fmt: skip
    return f"{ground['brand']}, {ground['seller_id']}{_place(ground['territory'])}{''.join(limits)}"


def _elsewhere(ground: Ground) -> str:
    more = f" and {ground['further']} more" if ground["further"] else ""
    return f"{ground['kind']} in {', '.join(ground['territories'])}{more}"


def _listing(ground: Ground) -> str:
    if ground["territory"] is None:
        return "listing is in an unknown territory"
    return f"listing is in {ground['territory']}" + ("" if ground["known"] else ", which is no ISO 3166 code")


_IN_WORDS: dict[str, Callable[[Ground], str]] = {
    "right": _name,
    "further": lambda ground: f" and {ground['count']} more",
    "conflict": _conflict,
    "seller": _seller,
    "unfair_competition": lambda ground: f"unfair competition in {ground['territory']}",
    "unsuited": lambda ground: f"{', '.join(ground['kinds'])} can't carry a {ground['match']}",
    "ended": lambda ground: f"{_name(ground)} ended on {ground['day']}",
    "begins": lambda ground: f"{_name(ground)} begins on {ground['day']}",
    "elsewhere": _elsewhere,
    "no_right": lambda ground: f"no right of {ground['brand']} in force could carry a {ground['match']}",
    "listing": _listing,
}
