"""A seller is authorised for a brand, in a territory, between two days, and nowhere else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from lookalike.errors import TableError
from lookalike.rights import AuthorisedSellers

HEADER = "brand,seller_id,territory,valid_from,valid_until\n"


def test_asks_for_brand_seller_territory_and_day(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(HEADER + "Acme,s1,DE,2026-01-01,2026-06-30\nAcme,s2,,,\n")
    sellers = AuthorisedSellers.load(tmp_path / "s.csv")

    def allow(seller: str | None, territory: str | None, day: date, brand: str = "Acme") -> bool:
        return sellers.allow(brand=brand, seller=seller, territory=territory, day=day)

    assert allow("s1", "DE", date(2026, 1, 1)) and allow("s1", "DE", date(2026, 6, 30))
    assert not allow("s1", "DE", date(2026, 7, 1)) and not allow("s1", "FR", date(2026, 3, 1))
    assert not allow("s1", None, date(2026, 3, 1)), "an unknown territory is none that was named"
    assert allow("s2", None, date(2030, 1, 1)) and allow("s2", "JP", date(2000, 1, 1))
    assert not allow("s2", "DE", date(2026, 3, 1), brand="Other") and not allow(None, "DE", date(2026, 3, 1))


@pytest.mark.parametrize(
    ("row", "message"),
    [(",s1,DE,,", "needs a brand and a seller_id"), ("Acme,s1,DE,soon,", "valid_from 'soon'; needed a day like")],
)
def test_a_row_that_can_not_be_used_is_one_line(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(HEADER + row + "\n")
    with pytest.raises(TableError, match=message):
        AuthorisedSellers.load(tmp_path / "s.csv")
