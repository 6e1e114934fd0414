"""Shops' exports: which of their columns are ours. Only data; `layout` reads tables with it.

Sources: Google's product data specification (support.google.com/merchants/answer/7052112), Shopify's product CSV
(help.shopify.com/en/manual/products/import-export/using-csv), WooCommerce's product CSV schema
(github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Feed:
    """The export of a kind of shop.

    `columns` names, for each column of ours, theirs: the first that isn't empty counts, and of `image` all do. With
    `several_rows`, rows of one id are a product and its variants: what a later row leaves empty is the first row's, and
    a variant's price isn't compared with it. A table with all columns of a set in `told_by` is most likely such an
    export.
    """

    name: str
    title: str
    columns: Mapping[str, tuple[str, ...]]
    told_by: tuple[frozenset[str], ...]
    several_rows: bool = False
    parent: str | None = None
    """The column that names, in the row of a variant, its product: by `id:` and an id, or by what is in `known_as`."""
    known_as: str | None = None


def _spaced(*names: str) -> tuple[str, ...]:
    """Each name, and as Google also allows it, with spaces."""
    return tuple(dict.fromkeys(spelt for name in names for spelt in (name, name.replace("_", " "))))


FEEDS = {
    feed.name: feed
    for feed in (
        Feed(
            "google-merchant",
            "a feed for Google Merchant Center",
            {
                "listing_id": ("id",),
                "image": _spaced("image_link", "additional_image_link"),
                "product_id": (*_spaced("item_group_id"), "id"),
                "brand": ("brand",),
                "seller_id": _spaced("external_seller_id"),
                "price": ("price",),
                "title": ("title",),
                "url": ("link",),
            },
            (frozenset({"id", "image_link"}), frozenset({"id", "image link"})),
        ),
        Feed(
            "shopify",
            "a product export of Shopify",
            {
                "listing_id": ("Handle", "URL handle"),
                "image": ("Image Src", "Variant Image", "Product image URL", "Variant image URL"),
                "product_id": ("Handle", "URL handle"),
                "brand": ("Vendor",),
                "price": ("Variant Price", "Price"),
                "title": ("Title",),
            },
            (frozenset({"Handle", "Image Src"}), frozenset({"URL handle", "Product image URL"})),
            several_rows=True,
        ),
        Feed(
            "woocommerce",
            "a product export of WooCommerce",
            {
                "listing_id": ("ID",),
                "image": ("Images",),
                "product_id": ("ID",),
                "brand": ("Brands", "Brand"),
                "price": ("Regular price",),
                "title": ("Name",),
            },
            (frozenset({"ID", "Images"}),),
            several_rows=True,
            parent="Parent",
            known_as="SKU",
        ),
    )
}
"""The exports that are known, by the name that `--feed` takes."""


def shop_advice(names: Collection[str]) -> str:
    """What to do with a table of these columns if it looks like a shop's export, else nothing.

    >>> shop_advice(["Handle", "Title", "Image Src"])
    'it looks like a product export of Shopify; read it with --feed shopify'
    """
    found = [feed for feed in FEEDS.values() if any(told <= set(names) for told in feed.told_by)]
    return f"it looks like {found[0].title}; read it with --feed {found[0].name}" if found else ""
