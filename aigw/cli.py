"""The `aigw` command. Imports little: the first answer of `aigw run` is to come within two seconds."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="aigw",
    help="AI gateway: one endpoint for every LLM provider.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

LogLevel = Literal["debug", "info", "warn", "error"]


@app.command()
def run(
    path: Annotated[
        Path | None,
        typer.Argument(help="Resource file (YAML). Without it: API keys of the environment, else a built-in demo."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the gateway without a file; a file's Gateway says its own.")
    ] = 1975,
    admin_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of /metrics and /health on 127.0.0.1.", show_default="1064"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on.", show_default="0.0.0.0 with a file, else 127.0.0.1", envvar="AIGW_ADDRESS"
        ),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="What is logged on standard error.")] = "warn",
    debug: Annotated[bool, typer.Option("--debug", envvar="AIGW_DEBUG", help="Same as --log-level debug.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Filter processes.")] = 1,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Envoy's worker threads.", show_default="number of CPUs")
    ] = None,
) -> None:
    """Start the gateway: Envoy and the AI filters, on this machine."""
    from aigw.standalone import run as standalone  # here: `aigw version` needs none of it

    if path is None:
        path = _default_file()
    options = standalone.Options(
        path=path,
        port=port,
        admin_port=admin_port,
        address=address,
        log_level=log_level,
        debug=debug or log_level == "debug",
        workers=workers,
        concurrency=concurrency,
    )
    sys.exit(standalone.run(options, os.environ))


def _default_file() -> Path | None:
    """`$AIGW_CONFIG_HOME/config.yaml`, when it is there."""
    home = os.environ.get("AIGW_CONFIG_HOME") or "~/.config/aigw"
    found = Path(os.path.expandvars(home)).expanduser() / "config.yaml"
    return found if found.is_file() else None


@app.command()
def validate(
    path: Annotated[Path, typer.Argument(help="Resource file (YAML).")],
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Judge our objects as a cluster would take them, and nothing else.")
    ] = False,
) -> None:
    """Check a resource file without starting anything. Exit code 2: it cannot be served.

    A file without a Gateway is judged as with --kubernetes.
    """
    from aigw.standalone import validate as offline  # here: `aigw version` needs none of it

    verdict = offline.validate(path, os.environ, kubernetes=kubernetes)
    for warning in verdict.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for error in verdict.errors:
        typer.echo(f"aigw: {error}", err=True)
    if verdict.errors:
        raise typer.Exit(2)
    typer.echo(f"{path}: ok ({verdict.note})" if verdict.note else f"{path}: ok")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as of

    typer.echo(f"aigw {of('aigw')}")


def main() -> None:
    """The entry point."""
    app(prog_name="aigw")
