"""A real Kubernetes cluster on this machine, without a container engine or an image registry.

    python -m hack.lab up [--envoy-gateway 1.9] [--bare]   cluster, Envoy Gateway, AI gateway; again: what has changed
    python -m hack.lab status [--json]                     what runs, how to reach it
    python -m hack.lab exec COMMAND...                     a command inside (kubectl and helm are on its PATH)
    python -m hack.lab load ARCHIVE...                     images (docker-archive) for its node
    python -m hack.lab down                                ends everything, also after a crash
    python -m hack.lab tools [--envoy-gateway 1.9]         names of the programs that it needs (hack.tools.build)

docs/lab.md tells more. Exit codes: 0 done, 1 a step failed or the lab is down, 2 wrong arguments.
"""

import argparse
import sys
from pathlib import Path

from hack.lab import cluster, folders, node, screen, shell
from hack.lab.envoy_gateway import RELEASES
from hack.lab.machine import Machine, NoMachine
from hack.lab.packages import NoPackages
from hack.tools import build


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--envoy-gateway", choices=sorted(RELEASES), default="1.8")
    up.add_argument("--bare", action="store_true", help="a cluster with nothing installed in it")
    status = commands.add_parser("status")
    status.add_argument("--json", action="store_true")
    inside = commands.add_parser("exec")
    inside.add_argument("arguments", nargs=argparse.REMAINDER)
    load = commands.add_parser("load")
    load.add_argument("archives", nargs="+", type=Path)
    commands.add_parser("down")
    tools = commands.add_parser("tools")
    tools.add_argument("--envoy-gateway", choices=sorted(RELEASES), default="1.8")
    return parser


def _run(machine: Machine, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            with machine.state.locked():
                cluster.up(machine, RELEASES[arguments.envoy_gateway], bare=arguments.bare)
        case "status" if arguments.json:
            sys.stdout.buffer.write(screen.document(machine) + b"\n")
        case "status":
            return screen.show(machine)
        case "exec":
            return cluster.execute(machine, arguments.arguments)
        case "load":
            node.load(machine, [archive.absolute() for archive in arguments.archives])
        case "tools":
            print(*cluster.tools(RELEASES[arguments.envoy_gateway]))
        case _:
            with machine.state.locked():
                machine.down()
            print("the lab is down")
    return 0


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _run(Machine(folders.state()), arguments)
    except (NoMachine, NoPackages, shell.Failed, build.BuildFailed) as exc:
        print(exc, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
