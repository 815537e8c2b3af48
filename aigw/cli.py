"""The `aigw` command. Imports little: the first answer of `aigw run` is to come within two seconds."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

app = typer.Typer(
    name="aigw",
    help="AI gateway: one endpoint for every LLM provider.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

BROKEN_PIPE: Final = 141
"""as shells say it of a program that SIGPIPE ended"""

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


Output = Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="For people, or for machines.")]
Gateway = Annotated[
    str,
    typer.Option(
        "--gateway", metavar="[NAMESPACE/]NAME", help="Which Gateway, of several.", show_default="the only one"
    ),
]
File = Annotated[str, typer.Argument(metavar="FILE", help="Resource file (YAML); - is standard input.")]


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Resource files (YAML); - is standard input.")],
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Judge our objects as a cluster would take them, and nothing else.")
    ] = False,
    output: Output = "text",
) -> None:
    """Check resource files without starting anything: a verdict on every object.

    A file without a Gateway is judged as with --kubernetes.

    Exit codes: 0 every file is valid (warnings may be printed), 1 one is not, 2 one cannot be read.
    """
    from aigw.commands import entry  # here: `aigw version` needs none of it

    raise typer.Exit(entry.validate(files, os.environ, kubernetes=kubernetes, form=output))


@app.command()
def translate(
    file: File,
    output: Annotated[Literal["yaml", "json"], typer.Option("--output", "-o", help="How it is written.")] = "yaml",
    objects: Annotated[bool, typer.Option("--objects", help="Only (or also) the generated objects.")] = False,
    filter_config: Annotated[bool, typer.Option("--filter-config", help="… the configuration of the filters.")] = False,
    xds: Annotated[bool, typer.Option("--xds", help="… Envoy's configuration, before and after the patches.")] = False,
    gateway: Gateway = "",
) -> None:
    """Print what follows from a file: generated objects, filter configuration, Envoy's configuration.

    Without --objects, --filter-config or --xds: all three. Credentials are never printed.

    What is wrong in the file is left out, as a cluster does it, and named on standard error.

    Exit codes: 0 printed, 1 printed without what is wrong, 2 the file cannot be read, or has no Gateway.
    """
    from aigw.commands import entry  # here: `aigw version` needs none of it

    wanted: dict[Literal["objects", "filter", "xds"], bool] = {"objects": objects, "filter": filter_config, "xds": xds}
    sections = [name for name, chosen in wanted.items() if chosen]
    raise typer.Exit(entry.translate(file, os.environ, sections=sections, gateway=gateway, form=output))


@app.command()
def explain(
    file: File,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model that the client asks for.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Host that the client calls.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="Path that the client posts to.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header, 'name: value'; may be given often.")
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", "-b", metavar="FILE", help="File with the JSON body; - is standard input.")
    ] = None,
    gateway: Gateway = "",
    output: Output = "text",
) -> None:
    """Say which rule serves a request, why, by whom, and what the provider gets; without a request: every rule.

    What is wrong in the file is named beside the rest, which is explained as a cluster serves it. Credentials are never
    printed, only where they come from.

    Exit codes: 0 explained, 1 something in the file is wrong or the request reaches no provider, 2 the file cannot be
    read, or has no Gateway.
    """
    from aigw.commands import entry  # here: `aigw version` needs none of it

    ask = entry.Ask(model=model, host=host, path=path, headers=tuple(header or ()), body=body)
    raise typer.Exit(entry.explain(file, os.environ, ask=ask, gateway=gateway, form=output))


@app.command()
def doctor(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Resource file (YAML).", show_default="as for aigw run")
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Admin port of the running gateway.", show_default="1064, if it runs"),
    ] = None,
    connect: Annotated[bool, typer.Option("--connect", help="Connect to every provider too (TCP and TLS).")] = False,
    kubernetes: Annotated[bool, typer.Option("--kubernetes", "-k", help="Check a cluster, not this machine.")] = False,
    kubeconfig: Annotated[
        str | None, typer.Option(metavar="FILE", help="Which cluster; means --kubernetes.", show_default="as kubectl")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Of our controller, in a cluster.")] = "envoy-ai-gateway-system",
    envoy_gateway_namespace: Annotated[str, typer.Option(help="Of Envoy Gateway.")] = "envoy-gateway-system",
    output: Output = "text",
) -> None:
    """Check the whole chain, from the file to the running gateway; each finding says what to do.

    With --kubernetes: from Envoy Gateway's configuration to the filter in each pod. Nothing is changed.

    Exit codes: 0 no errors (warnings may be printed), 1 there are errors, 2 the file cannot be read or the cluster not
    be reached.
    """
    from aigw.commands import entry  # here: `aigw version` needs none of it

    if kubernetes or kubeconfig is not None:
        if file is not None or admin_port is not None or connect:
            raise typer.BadParameter("FILE, --admin-port and --connect are for this machine, not for a cluster")
        raise typer.Exit(
            entry.doctor_of_cluster(
                namespace=namespace,
                envoy_gateway_namespace=envoy_gateway_namespace,
                kubeconfig=kubeconfig,
                form=output,
            )
        )

    found = file or _default_file()
    path = None if found is None else str(found)
    raise typer.Exit(entry.doctor(path, os.environ, admin_port=admin_port, connect=connect, form=output))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as of

    typer.echo(f"aigw {of('aigw')}")


def main() -> None:
    """The entry point."""
    try:
        app(prog_name="aigw")
    except BrokenPipeError:
        # Who reads has seen enough (`| head`). What is left in the buffer would complain once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
