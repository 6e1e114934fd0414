"""What the embedded encoder adds to its tower: the middle layers' say in `similarity`, and the branch for `look`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from lookalike.errors import WeightsError
from lookalike.model.presets import PRESETS
from lookalike.model.towers import image_tower
from lookalike.scripts.training.run import FROZEN_BLOCKS, is_after_frozen

MIDDLE_BLOCKS = (4, 5)
"""Blocks of the trunk whose outputs are described for `similarity`: on a grid of 9 x 9, where a print's details are
still apart, and of 5 x 5. Chosen on held-out photos and the rendered validation split."""

_LEAST_VARIANCE = 1e-6

State = Mapping[str, torch.Tensor]


class Similar(torch.nn.Module):
    """The tower after its first layers, for `similarity`, with what its middle layers add.

    The tower's own numbers say what is shown. Means and standard deviations of the middle blocks' outputs say of what
    textures and details it is made, and err on other pictures. Both, of length 1, are joined and narrowed.
    Raises WeightsError if `middle` is that of another architecture.
    """

    def __init__(self, tower: torch.nn.Module, middle: State | None = None) -> None:
        super().__init__()
        trunk: Any = tower.trunk
        self.blocks = trunk.blocks[FROZEN_BLOCKS:]
        self.head = torch.nn.Sequential(trunk.conv_head, trunk.bn2, trunk.global_pool, trunk.classifier)
        self.middle = self.narrow = None
        if middle is None:
            return
        state = {name: value.float() for name, value in middle.items()}
        try:
            self.middle = _linear(state["middle.weight"])
            self.narrow = _linear(state["narrow.weight"], bias=False)
            self.middle.load_state_dict({name: state.pop(f"middle.{name}") for name in ("weight", "bias")})
            self.narrow.load_state_dict({"weight": state.pop("narrow.weight")})
        except (KeyError, RuntimeError, ValueError) as error:
            raise WeightsError(f"the middle doesn't fit this architecture ({str(error)[:200]})") from error
        if self.narrow.in_features != trunk.classifier.out_features + self.middle.out_features or state:
            raise WeightsError("the middle belongs to another tower; write it with train_middle.py")

    def described(self, common: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the first layers' output: the tower's own numbers (n, dim), and what its middle blocks tell (n, 608)."""
        found, pooled = common, []
        for number, block in enumerate(self.blocks, FROZEN_BLOCKS):
            found = block(found)
            if number in MIDDLE_BLOCKS:
                pooled += [found.mean((2, 3)), (found.var((2, 3), correction=0) + _LEAST_VARIANCE).sqrt()]
        return self.head(found), torch.cat(pooled, dim=1)

    def forward(self, common: torch.Tensor) -> torch.Tensor:
        """The numbers (n, dim) for `similarity`, from the first layers' output."""
        own, pooled = self.described(common)
        if self.middle is None or self.narrow is None:
            return own
        joined: torch.Tensor = self.narrow(torch.cat([F.normalize(own), F.normalize(self.middle(pooled))], dim=1))
        return joined


class Branches(torch.nn.Module):
    """A tower, with its middle, and a branch for `look` that follows its first layers and whose numbers come last.

    Raises WeightsError for a branch or a middle of another architecture.
    """

    def __init__(self, tower: torch.nn.Module, *, look: State | None = None, middle: State | None = None) -> None:
        super().__init__()
        own: Any = tower.trunk
        self.image_size: Any = tower.image_size
        self.shared = torch.nn.Sequential(own.conv_stem, own.bn1, *own.blocks[:FROZEN_BLOCKS])
        self.similar, self.look, self.look_dim = Similar(tower, middle), None, 0
        if look is not None:
            self.look, self.look_dim = _look(look)
        self.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """The numbers (n, dim + look_dim) of normalised pictures (n, 3, height, width)."""
        common = self.shared(batch)
        return torch.cat([branch(common) for branch in (self.similar, self.look) if branch is not None], dim=1)


def _linear(weight: torch.Tensor, *, bias: bool = True) -> torch.nn.Linear:
    gives, takes = weight.shape
    return torch.nn.Linear(takes, gives, bias=bias)


def _look(state: State) -> tuple[torch.nn.Module, int]:
    """The branch for `look`, and how many numbers it gives."""
    trunk: Any = image_tower(PRESETS["embedded"].architecture).trunk
    branch = {name: value.float() for name, value in state.items()}
    try:
        linear = torch.nn.Linear(trunk.num_features, len(branch["look.bias"]))
        linear.load_state_dict({name: branch.pop(f"look.{name}") for name in ("weight", "bias")})
        missing, unknown = trunk.load_state_dict(branch, strict=False)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"the look doesn't fit this architecture ({str(error)[:200]})") from error
    # how many batches were seen counts for nothing here
    lacking = [name for name in missing if is_after_frozen(name) and not name.endswith("num_batches_tracked")]
    if unknown or lacking:
        raise WeightsError("the look has other layers than this architecture; write it with train_look.py")
    blocks = trunk.blocks[FROZEN_BLOCKS:]
    return torch.nn.Sequential(*blocks, trunk.conv_head, trunk.bn2, trunk.global_pool, linear), linear.out_features
