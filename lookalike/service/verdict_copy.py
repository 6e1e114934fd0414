"""A file of verdicts in object storage: worked on as a local file, and uploaded after each verdict."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from lookalike.disk import make_folder, written
from lookalike.entries import MOST_BYTES

from .storage import MissingError, Storage, StorageError, is_address

_log = logging.getLogger(__name__)


class VerdictCopy:
    """The local file of the verdicts that lie at a path or an address. Several threads may use it.

    Verdicts are only ever added, so of two versions one begins with the other, unless somebody else wrote as well.
    """

    def __init__(self, storage: Storage, place: str) -> None:
        self._storage, self._address = storage, place if is_address(place) else None
        self._lock = threading.Lock()
        self.path = Path(place) if self._address is None else storage.folder_of(place) / "verdicts.jsonl"

    def take(self) -> None:
        """Have the local file hold what lies at the address, before anything is added to it.

        What was added here and not uploaded is uploaded. Raises StorageError if both have what the other one lacks.
        """
        if self._address is None:
            return
        with self._lock:
            there, here = self._there(self._address), self._here()
            if there != here and there.startswith(here):
                make_folder(self.path.parent)
                with written(self.path) as temporary:
                    temporary.write_bytes(there)
            else:
                self._upload(self._address, here, there)

    def give(self) -> None:
        """Upload what was added; what can't be uploaded is logged, and goes with the next one."""
        if self._address is None:
            return
        with self._lock:
            try:
                self._upload(self._address, self._here(), self._there(self._address))
            except StorageError as error:
                _log.error("verdicts could not be uploaded, and are in %s: %s", self.path, error)

    def _upload(self, address: str, here: bytes, there: bytes) -> None:
        if here == there:
            return
        if not here.startswith(there):
            raise StorageError(f"{address} has verdicts that {self.path} lacks, and the other way round; join both "
                               "with: lookalike verdicts merge")  # fmt: skip
        above, _, name = address.rpartition("/")
        self._storage.place(above).write(name, here)

    def _here(self) -> bytes:
        """The local file, as far as its lines are whole."""
        data = self.path.read_bytes() if self.path.exists() else b""
        return data[: data.rfind(b"\n") + 1]

    def _there(self, address: str) -> bytes:
        above, _, name = address.rpartition("/")
        try:
            return self._storage.place(above).read(name, most=MOST_BYTES)
        except MissingError:
            return b""
