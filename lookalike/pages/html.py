"""HTML pages from templates that escape everything they are given, so that a stranger's text stays inert."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import jinja2


def page_template(name: str, **filters: Callable[..., str | None]) -> jinja2.Template:
    """A template that escapes all values; a value that it names and isn't given is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def asset(name: str) -> str:
    """The text of a template, style sheet or script."""
    return (files("lookalike.pages") / "templates" / name).read_text(encoding="utf-8")


def policy_hash(text: str) -> str:
    """The hash of a style sheet or script for a content security policy (CSP level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def safe_link(url: str | None) -> str | None:
    """The address if it can only open a web page, else None.

    >>> safe_link("https://example.com/1"), safe_link("javascript:alert(1)")
    ('https://example.com/1', None)
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None
