"""The network of a case's sellers and what they share, as places in a plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .case import Case, Link

if TYPE_CHECKING:
    import networkx

_WIDTH, _HEIGHT, _MARGIN = 380, 300, 34
_MOST_NODES = 60
_NAME = 18

Node = tuple[str, str]
Place = Callable[[Node], tuple[float, float]]


def draw_network(case: Case) -> dict[str, Any] | None:
    """What the page draws: nodes, edges and a label; None for a single seller.

    If there are many sellers, those with the most links are drawn, up to 60 nodes.
    """
    if len(case.sellers) < 2:
        return None
    degree = Counter(seller for link in case.links for seller in link.sellers)
    kept = sorted(sorted(case.sellers, key=lambda seller: (-degree[seller], seller))[: _MOST_NODES // 2])
    drawn = _drawn_links(case.links, frozenset(kept))
    graph = _graph(kept, drawn)
    at = _places(graph)
    counts = Counter(link.kind for link in case.links)
    shared = " and ".join(f"{count:,} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items())
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "nodes": [*(_seller(name, degree, at) for name in kept), *(_shared(link, at) for link in drawn)],
        "edges": [(*at(left), *at(right)) for left, right in graph.edges],
        "label": f"{len(case.sellers):,} sellers share {shared}",
        "others": any(link.kind != "photo" for link in drawn),
        "left_out": len(case.sellers) - len(kept),
    }


def _drawn_links(links: Sequence[Link], kept: frozenset[str]) -> list[Link]:
    """The links of two or more of the sellers, those that most of them share first."""
    ordered = sorted(links, key=lambda link: (-len(kept.intersection(link.sellers)), link.kind, link.key))
    return [link for link in ordered[: _MOST_NODES // 2] if len(kept.intersection(link.sellers)) > 1]


def _graph(kept: Sequence[str], drawn: Sequence[Link]) -> networkx.Graph:
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(("seller", seller) for seller in kept)
    for link in drawn:
        graph.add_edges_from((("seller", seller), (link.kind, link.key)) for seller in link.sellers if seller in kept)
    return graph


def _places(graph: networkx.Graph) -> Place:
    """Where each node is in the picture.

    Kamada and Kawai, "An algorithm for drawing general undirected graphs", Information Processing Letters 31, 1989.
    """
    import networkx

    places = networkx.kamada_kawai_layout(graph)
    xs, ys = zip(*places.values(), strict=True)
    wide, high = max(xs) - min(xs) or 1, max(ys) - min(ys) or 1

    def at(node: Node) -> tuple[float, float]:
        x, y = places[node]
        return (
            round(_MARGIN + (x - min(xs)) / wide * (_WIDTH - 2 * _MARGIN), 1),
            round(_MARGIN + (y - min(ys)) / high * (_HEIGHT - 2 * _MARGIN), 1),
        )

    return at


def _seller(name: str, degree: Mapping[str, int], at: Place) -> dict[str, Any]:
    x, y = at(("seller", name))
    title = f"seller {name}, {degree[name]} shared"
    return {"seller": True, "x": x, "y": y, "size": 5 + min(9, degree[name]), "name": name[:_NAME], "photo": False,
            "title": title}  # fmt: skip


def _shared(link: Link, at: Place) -> dict[str, Any]:
    x, y = at((link.kind, link.key))
    name = f"{link.kind} {link.key}"
    return {"seller": False, "x": x, "y": y, "photo": link.kind == "photo", "name": name[:_NAME],
            "title": f"{name}, shared by {len(link.sellers)} sellers"}  # fmt: skip
