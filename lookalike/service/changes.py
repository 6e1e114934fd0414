"""Changes of the references and the harmless photos, one at a time; each is open to checks before it is answered."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lookalike.disk import make_folder, written
from lookalike.errors import IndexBusyError, TableError
from lookalike.index.build import BuildSummary, add_harmless, add_references, harmless_folder, remove_references
from lookalike.records import BadRow, Reference
from lookalike.tables.inputs import read_harmless, read_references

from .problems import Problem
from .storage import is_address

if TYPE_CHECKING:
    from lookalike.index.reference_index import ReferenceIndex

    from .serving import Holder, Serving
    from .settings import Settings

_BUSY = 10.0  # seconds for another process to finish its change
_PHOTOS, _TABLES = "references", "imports"
_Result = TypeVar("_Result")


class Changes:
    """Changes the index folder. Photos that were given as bytes are kept in the state folder, under their sha256."""

    def __init__(self, settings: Settings, holder: Holder) -> None:
        self._settings, self._holder = settings, holder
        state = settings.state.absolute()
        self._photos, self._tables = state / _PHOTOS, state / _TABLES
        reader = settings.reader
        self._reader = replace(reader, access=replace(reader.access, local=True, roots=(self._photos,)))
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="lookalike-change")

    def close(self) -> None:
        """End, once the change that is being made is done."""
        self.thread.shutdown(wait=True, cancel_futures=True)

    def known(self, name: str, *, harmless: bool) -> tuple[Reference, str] | None:
        """The reference or harmless photo with that id, and the sha256 of its picture; None if there is none."""
        index = _index(self._holder.borrow(), harmless=harmless)
        reference = None if index is None else index.reference(name)
        return None if index is None or reference is None else (reference, index.image_sha256(name) or "")

    def put(self, reference: Reference, *, harmless: bool) -> None:
        """Add a reference, or replace the one with its id. Raises TableError if its picture can't be read."""
        if isinstance(reference.image, bytes):
            reference = replace(reference, image=self._kept(reference.image))
        try:
            self._made(lambda: self._add([reference], harmless=harmless))
        except TableError as error:
            raise TableError(self._said(str(error))) from error

    def take(self, table: bytes, ending: str, *, harmless: bool) -> BuildSummary:
        """Add the rows of a table. Raises TableError for one that can't be read, or of which no row can be used."""
        make_folder(self._tables)
        path = self._tables / f"{hashlib.sha256(table).hexdigest()}{ending}"
        path.write_bytes(table)
        try:
            read = read_harmless if harmless else read_references
            done = self._made(lambda: self._add(read(path), harmless=harmless))
            failed = tuple(replace(row, error=self._said(row.error)) for row in done.failed)
            return replace(done, failed=failed)
        except TableError as error:
            raise TableError(self._said(str(error).replace(str(path), "the table"))) from error
        finally:
            path.unlink(missing_ok=True)

    def remove(self, name: str, *, harmless: bool) -> bool:
        """Remove the reference with that id; whether there was one. Raises a Problem, 409, for the last one."""
        self._holder.refresh()
        known = _index(self._holder.borrow(), harmless=harmless)
        if known is None:
            return False
        if not harmless and len(known) == 1 and known.reference(name) is not None:
            raise Problem(409, "last", f"{name[:60]} is the only reference, and nothing could be checked without any; "
                          "add another one first")  # fmt: skip
        folder = self._folder()
        if harmless:
            folder = harmless_folder(folder)
        return bool(self._made(lambda: remove_references(index=folder, references=[name])))

    def digest(self, *, harmless: bool) -> str:
        """The digest of what checks are compared with."""
        index = _index(self._holder.borrow(), harmless=harmless)
        return "" if index is None else index.digest

    def tidy(self) -> None:
        """Remove kept photos that no reference names any more, and tables of imports that were cut off."""
        serving = self._holder.borrow()
        indexes = (_index(serving, harmless=each) for each in (False, True))
        named = {image for index in indexes if index is not None for image in index.catalogue["image"].to_pylist()}
        for path in [*self._photos.glob("*"), *self._tables.glob("*")]:
            if str(path) not in named:
                path.unlink(missing_ok=True)

    def _add(self, references: Iterable[Reference | BadRow], *, harmless: bool) -> BuildSummary:
        encoder = self._holder.borrow().detector.encoder
        add = add_harmless if harmless else add_references
        return add(references, index=self._folder(), encoder=encoder, reader=self._reader)

    def _said(self, message: str) -> str:
        """A message without this machine's paths."""
        said = message.partition("; nothing was written to ")[0]
        for folder in (self._tables, self._photos):
            said = said.replace(f"{folder}{os.sep}", "")
        return said

    def _folder(self) -> Path:
        if is_address(self._settings.index):
            raise Problem(409, "elsewhere", "the index is in object storage; change it where it is made, and upload it")
        return Path(self._settings.index)

    def _made(self, change: Callable[[], _Result]) -> _Result:
        """Make a change once no other process is at it, and open the result. Raises a Problem, 409, if that lasts."""
        until = time.monotonic() + _BUSY
        try:
            while True:
                try:
                    made = change()
                    break
                except IndexBusyError as error:
                    if time.monotonic() > until:
                        what = "another process is changing the index; try again when it is done"
                        raise Problem(409, "busy", what, headers={"Retry-After": "10"}) from error
                    time.sleep(0.1)
            self._holder.refresh()
            if self._holder.error is not None:
                raise Problem(503, "not_open", f"the change is kept, but can't be opened: {self._holder.error}")
            return made
        finally:
            if self._holder.error is None:  # otherwise what is open may not name what was just added
                self.tidy()

    def _kept(self, data: bytes) -> Path:
        path = self._photos / hashlib.sha256(data).hexdigest()
        make_folder(self._photos)
        with written(path) as temporary:
            temporary.write_bytes(data)
        return path


def _index(serving: Serving, *, harmless: bool) -> ReferenceIndex | None:
    return serving.detector.lookup.harmless if harmless else serving.detector.index
