"""Identical files join sellers only where nothing hints at the brand."""

from __future__ import annotations

from lookalike.cases.shared_photos import SellerPhoto, same_files


def test_same_files_join_only_where_every_finding_says_they_are_no_print_of_the_brands() -> None:
    mine = [SellerPhoto("a", "1.jpg", "x", own=True), SellerPhoto("b", "2.jpg", "x", own=True)]
    assert [shared.sellers for shared in same_files(mine).shared] == [("a", "b")]
    assert same_files([*mine, SellerPhoto("c", "3.jpg", "x")]).shared == ()
    assert (
        same_files([SellerPhoto("a", "1.jpg", None, own=True), SellerPhoto("b", "1.jpg", None, own=True)]).shared == ()
    )
