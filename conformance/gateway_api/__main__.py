"""`python -m conformance.gateway_api`: the command line behind `make conformance-gateway-api`.

Starts the lab when it is not up (and ends it then), installs both gateways, runs the suite in it, about ten minutes.
Exit codes: 0 as without us, 1 something is worse, 2 wrong arguments, 3 not run.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from conformance.cluster import lab
from conformance.cluster.cluster import KubectlFailed, NotAvailable
from conformance.gateway_api import attachment, results, suite
from hack.lab import cluster, envoy_gateway, installation, shell
from hack.lab.installation import RELEASES, Release
from hack.tools import build

NOT_RUN: Final = 3
_ROOT: Final = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    release = RELEASES[options.envoy_gateway]
    try:
        _build(release, time.monotonic() + float(os.environ.get("TOOLS_SECONDS") or "inf"))
        return _run(release, options)
    except (NotAvailable, build.BuildFailed, suite.SuiteFailed, shell.Failed, KubectlFailed) as exc:
        print(f"conformance-gateway-api: NOT RUN: {exc}", file=sys.stderr)
        return NOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance.gateway_api")
    parser.add_argument("--envoy-gateway", choices=sorted(RELEASES), default="1.8")
    parser.add_argument("--test", default="", help="only the test of this name; nothing is compared")
    parser.add_argument("--alone", action="store_true", help="Envoy Gateway without us: measures the baseline")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the report and of the suite's output")
    return parser


def _build(release: Release, deadline: float) -> None:
    for name in build.missing([*cluster.tools(release), *suite.TOOLS]):
        print(f"building {name} (about {build.TOOLS[name].seconds} s)", flush=True)
        if not build.build(name, deadline):
            raise NotAvailable(f"{name} is not built, and there was no time left to build it")


def _run(release: Release, options: argparse.Namespace) -> int:
    files = suite.folder()
    gateways = suite.gateways(files)
    wanted = installation.prepare(release)
    name = f"gateway-api-{options.envoy_gateway}{'-alone' if options.alone else ''}"
    options.out.mkdir(parents=True, exist_ok=True)
    report, log = options.out.absolute() / f"{name}.yaml", options.out.absolute() / f"{name}.log"
    report.unlink(missing_ok=True)
    problems = list[str]()
    with lab.running(options.envoy_gateway) as place:
        place.load([*wanted.archives, *suite.archives(files)])
        if options.alone:
            _install_alone(place, release)
        else:
            installation.install(place, wanted, _step)
        # What an earlier run has left, after an interruption even routes, would be part of this one.
        place.kubectl("delete", "namespace", "--ignore-not-found", *suite.namespaces(files))
        values = {"envoy_image": envoy_gateway.ENVOY_IMAGE, "upstream_image": wanted.upstream}
        place.kubectl.apply(*attachment.class_objects({**values, "service_type": place.gateway_service}))
        command = suite.command(report, release.version, options.test)
        if options.alone:
            _execute(command, log, lambda test: None)
        else:
            unwanted = suite.wanting_no_routes(files)
            if options.test:  # the names of all others come too, skipped
                unwanted &= {options.test}
            attached = attachment.AIRoutes(place, gateways, unwanted)
            attached.attach()
            _execute(command, log, attached.follow)
            attached.attach()
            problems.extend(attachment.problems(place, gateways))
    if not report.is_file():
        raise suite.SuiteFailed(f"the suite has written no report; its output is in {log}")
    found = results.read(report)
    without = {} if options.test else results.baseline(options.envoy_gateway)
    results.show(found, without, Console())
    problems += results.regressions(found, without)
    for problem in problems:
        print(problem)
    print(f"report: {report}, output of the suite: {log}")
    return 1 if problems else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _step(title: str, step: Callable[[], object]) -> None:
    _say(title)
    step()


def _install_alone(place: shell.Place, release: Release) -> None:
    arguments = ["apply", "--server-side", "--force-conflicts"]
    for file in envoy_gateway.definitions(release):
        arguments += ["-f", str(file)]
    shell.kubectl(place, arguments)
    envoy_gateway.install(place, release, ())


def _execute(command: Sequence[str], log: Path, begun: Callable[[str], object]) -> None:
    """The suite inside the lab: only there are the addresses that it asks for. `begun` gets the name of each test. The
    exit code is not asked: the report says what failed."""
    inside = [sys.executable, "-m", "hack.lab", "exec", *command]
    process = subprocess.Popen(
        inside, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    with process, open(log, "w") as file:
        for line in process.stdout:
            file.write(line)
            if test := suite.begun(line):
                _say(test)
                begun(test)


if __name__ == "__main__":
    sys.exit(main())
