"""Answer checks over HTTP, and make the keys for it.

The settings are in a file, in the environment (LOOKALIKE_INDEX and so on) or given as options; docs/service.md lists
them. Each request needs a key. When references or the policy change, by the service or beside it, the new ones are
opened without an interruption.

Examples:
lookalike serve keys add gateway --scopes check --keys keys.json
lookalike serve --config serve.toml
lookalike serve --index genuine.index --keys keys.json --state state
"""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lookalike.errors import LookalikeError, MissingExtraError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.outputs import FILE, require_outputs
from lookalike.scripts.terminal import note, print_line

_NEEDED = ("fastapi", "uvicorn", "pydantic_settings", "prometheus_client", "python_multipart", "aiohttp")


def serve(
    *,
    config: Annotated[Path | None, typer.Option("--config", help="File of settings, such as serve.toml.")] = None,
    index: Annotated[str | None, typer.Option("--index", help="Folder of the index.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Policy; by default the encoder's own.")] = None,
    keys: Annotated[Path | None, typer.Option("--keys", help="File of keys, such as keys.json.")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="Folder for what the service keeps.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; by default 8000.")] = None,
    more: Annotated[list[str] | None, typer.Option("--set", help="Any setting, as NAME=VALUE. Repeatable.")] = None,
) -> int:
    """Answer requests until it is interrupted.

    Examples:
    lookalike serve run --config serve.toml
    lookalike serve run --config serve.toml --set deadline_seconds=10
    """
    _require_extra()
    from lookalike.service.app import create_app
    from lookalike.service.background import require_free
    from lookalike.service.log import log_lines
    from lookalike.service.server import listening, server_of
    from lookalike.service.settings import read_settings

    given: dict[str, Any] = {"index": index, "policy": policy, "keys": keys, "state": state, "host": host, "port": port}
    settings = read_settings(config, **(given | dict(map(_pair, more or ()))))
    app = create_app(settings)
    require_free(settings)
    app.state.services.holder.open()
    with listening(settings.host, settings.port) as opened:
        log_lines()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print_line(f"http://{host}:{opened.getsockname()[1]}")
        server = server_of(app)
        with suppress(KeyboardInterrupt, SystemExit):  # how it is ended, and how uvicorn ends if it can't start
            server.run(sockets=[opened])
    if not server.started:
        raise app.state.failed or LookalikeError("the service did not start; the lines above say why")
    return Exit.DONE


def keys(
    action: Annotated[Literal["add", "remove"], typer.Argument(help="Make a key, or remove one.")],
    name: Annotated[str, typer.Argument(help="Whose key it is; it stands in the log.")],
    *,
    file: Annotated[Path, typer.Option("--keys", help="File of keys; it is made if there is none.")],
    scopes: Annotated[
        str, typer.Option("--scopes", help="What the key is for: check, review, admin, separated by commas.")
    ] = "",
) -> int:
    """Make a key for somebody, or remove one.

    The key is printed once; the file keeps its hash only. A running service sees the change within seconds. A key
    without scopes may ask for metrics and versions.

    Examples:
    lookalike serve keys add gateway --scopes check --keys keys.json
    lookalike serve keys remove gateway --keys keys.json
    """
    _require_extra()
    from lookalike.service.keys import add_key, remove_key

    require_outputs({"--keys": (file, FILE)}, {})

    if action == "remove":
        remove_key(file, name)
        note(f"removed the key {name}")
        return Exit.DONE
    print_line(add_key(file, name, [each.strip() for each in scopes.split(",") if each.strip()]))
    note(f"this is the key of {name}; it is shown only now")
    return Exit.DONE


VERBS = {"run": serve, "keys": keys}
DEFAULT = "run"


def _require_extra() -> None:
    for name in _NEEDED:
        if find_spec(name) is None:
            raise MissingExtraError(name, "serve")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {text[:40]!r} has no value; write NAME=VALUE")
    return name.strip(), value.strip()


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
