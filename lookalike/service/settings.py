"""What the service is started with: a file serve.toml, the environment, and options, the latter ones first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from lookalike.errors import LookalikeError
from lookalike.tables.gathering import MOST_PHOTOS

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader

_MiB = 2**20
_Bytes = Annotated[int, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """What the service opens, whom it lets in, and its limits.

    `index` and `policy` are paths, or addresses of object storage with one of the `protocols` (see `storage`). `keys`
    is the file of keys (see `keys`), `state` the folder for what the service keeps. Photos are fetched from addresses
    with one of `schemes`, of one of `hosts` if there are any, and from private addresses only with `private`. A limit
    on time is in seconds, one on size in bytes; `memory_bytes` is for all bodies and photos that are held at once.
    `queue` is how many requests may be in work or wait. On a GPU, `batch` views of photos are embedded together at
    most, and wait `batch_wait` seconds for others. Tables of jobs are in folders of `tables_under`, and are judged on a
    cluster with `ray`. The review is of `findings`, and adds to `verdicts`.
    """

    model_config = SettingsConfigDict(env_prefix="LOOKALIKE_", extra="forbid", frozen=True)

    index: str
    keys: Path
    state: Path
    policy: str | None = None
    rights: Path | None = None
    sellers: Path | None = None
    regions: Path | None = None
    model: str | None = None
    weights: Path | None = None
    device: str | None = None
    threads: Annotated[int | None, Field(ge=1)] = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000

    schemes: Annotated[frozenset[str], NoDecode] = frozenset({"https"})
    hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    private: bool = False
    photo_bytes: _Count = 20 * _MiB
    photo_pixels: _Count = 128_000_000
    photo_seconds: _Seconds = 15.0
    fetching: _Count = 32

    body_bytes: _Count = 32 * _MiB
    body_seconds: _Seconds = 30.0
    memory_bytes: _Count = 1024 * _MiB
    deadline_seconds: _Seconds = 30.0
    queue: _Count = 64
    photos_per_listing: Annotated[int, Field(ge=1, le=MOST_PHOTOS)] = MOST_PHOTOS
    rate_per_minute: Annotated[int, Field(ge=0)] = 0
    batch: _Count = 32
    batch_wait: Annotated[float, Field(ge=0, le=1)] = 0.0
    reload_seconds: _Seconds = 2.0
    protocols: Annotated[frozenset[str], NoDecode] = frozenset({"s3", "gs", "az", "abfs"})

    keep_photos_bytes: _Bytes = 2**30
    keep_findings: _Count = 100_000
    keep_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    tables_under: Annotated[tuple[Path, ...], NoDecode] = ()
    ray: str | None = None
    findings: Path | None = None
    verdicts: str | None = None

    @field_validator("schemes", "hosts", "protocols", "tables_under", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Several, separated by commas, in the environment and as an option."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options before the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def reader(self) -> PhotoReader:
        """What reads photos: no local files, and only addresses that are allowed."""
        from lookalike.index.embedding import PhotoReader
        from lookalike.model.images import ImageLimits
        from lookalike.model.sources import Access

        access = Access(
            schemes=self.schemes,
            hosts=self.hosts or None,
            private=self.private,
            max_bytes=self.photo_bytes,
            timeout=min(self.photo_seconds, self.deadline_seconds),
            local=False,
        )
        limits = ImageLimits(max_pixels=self.photo_pixels)
        return PhotoReader(access, limits, most_photos=self.photos_per_listing)


def read_settings(config: Path | None = None, **options: Any) -> Settings:
    """The settings of a file, the environment (LOOKALIKE_INDEX …) and options; an option that is None isn't given.

    Raises LookalikeError, in one line, for a file that can't be read and for a setting that is missing, unknown or out
    of bounds.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    if config is not None and not config.is_file():
        raise LookalikeError(f"there is no file {config}; give a TOML file with index, keys and state")
    try:
        return FromFile(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise LookalikeError(
            f"the setting {name} can't be used: {first['msg']}; set it in the file, as LOOKALIKE_{name.upper()}, or as "
            "an option (docs/service.md lists all)"
        ) from error
    except ValueError as error:  # of the TOML parser
        raise LookalikeError(f"{config} is not TOML: {error}") from error
