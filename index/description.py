"""What an index holds, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .build import load_harmless
from .reference_index import ReferenceIndex

if TYPE_CHECKING:
    from lookalike.model.encoder import EncoderSpec

    from .partition import Agreement


@dataclass(frozen=True)
class IndexDescription:
    """What an index folder holds.

    `brands` counts each brand's products, the largest first. `harmless` are the ids of harmless photos. `with_features`
    references can be compared point by point. `agreement` says how often a partitioned index decides as an exact search
    would; it is None for exact search. `bytes` is the size of all files.
    """

    index: str
    references: int
    products: int
    brands: Mapping[str, int]
    harmless: tuple[str, ...]
    with_features: int
    columns: tuple[str, ...]
    encoder: EncoderSpec
    agreement: Agreement | None
    created: str
    digest: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The description as plain JSON values."""
        return {
            **asdict(self),
            "encoder": self.encoder.to_json(),
            "exact": self.agreement is None,
            "agreement": self.agreement.to_json() if self.agreement is not None else None,
        }


def describe_index(index: str | Path) -> IndexDescription:
    """Check every file of an index folder and describe it. Raises what `ReferenceIndex.load` raises."""
    folder = Path(index)
    loaded, harmless = ReferenceIndex.load(folder, verify=True), load_harmless(folder)
    products = {
        (row["brand"], row["product_id"]) for row in loaded.catalogue.select(["brand", "product_id"]).to_pylist()
    }
    return IndexDescription(
        index=str(index),
        references=len(loaded),
        products=len(products),
        brands=dict(Counter(brand for brand, _ in products).most_common()),
        harmless=tuple(harmless.catalogue["reference_id"].to_pylist()) if harmless is not None else (),
        with_features=sum(len(packed) > 0 for packed in loaded.packed_features),
        columns=tuple(name for name in loaded.catalogue.column_names if name != "sha256"),
        encoder=loaded.spec,
        agreement=loaded.agreement,
        created=loaded.created,
        digest=loaded.digest,
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )
