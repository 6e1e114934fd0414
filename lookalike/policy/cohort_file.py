"""The [cohort] table of a policy, and the file of vectors beside the policy that it names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import PolicyError

from .cohort import Cohort
from .entries import Count, Number

_LARGEST = 1 << 28
# numpy's own reader of headers raises a tokenizer's and other undocumented errors for damaged ones
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d{1,9}), (\d{1,9})\), \} *\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class CohortTable:
    """Which file holds the cohort's vectors, its digest, and how similarities are set against them."""

    file: str
    sha256: str
    method: str
    nearest: Count = Cohort.nearest
    share: Number = Cohort.share
    count: Count | None = None


def load_cohort(table: CohortTable, *, folder: Path | None) -> Cohort:
    """The cohort that a policy in this folder names; None is a policy without a folder.

    Raises PolicyError if the file is missing, damaged, too large, or not the one that the policy was tuned with.
    """
    if folder is None or Path(table.file).name != table.file:
        raise PolicyError(f"cohort.file is {table.file!r}, expected the name of a file beside the policy")
    path = folder / table.file
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise PolicyError(f"the cohort {path} can't be read: {error}") from error
    if len(data) > _LARGEST:
        raise PolicyError(f"the cohort {path} is larger than {_LARGEST >> 20} MiB; use fewer background photos")
    if hashlib.sha256(data).hexdigest() != table.sha256:
        raise PolicyError(f"the cohort {path} is not the one that the policy was tuned with; restore it or tune again")
    return Cohort(_vectors(data, path), table.method, table.nearest, table.share)


def _vectors(data: bytes, path: Path) -> NDArray[np.float32]:
    """The array (n, dim) of a .npy file as `Cohort.save` writes it; its size is checked before memory is taken."""
    header = _HEADER.match(data)
    rows, dim = (int(number) for number in header.groups()) if header else (0, 0)
    if header is None or len(data) != header.end() + 4 * rows * dim:
        raise PolicyError(f"the cohort {path} is not a .npy file of float32 (n, dim); restore it or tune again")
    vectors = np.frombuffer(data, np.float32, offset=header.end()).reshape(rows, dim)
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
            raise PolicyError(f"the cohort {path} has rows that are not of length 1; tune again")
    return vectors
