"""`python -m conformance fixtures|run`: the command line behind `make fixtures` and `make conformance`."""

import argparse
import sys
from collections.abc import Sequence

from conformance import in_process
from conformance.case import CaseError, load_all


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance")
    commands = parser.add_subparsers(dest="command", required=True)
    fixtures = commands.add_parser("fixtures", help="rewrite the expected files, delete stale ones")
    fixtures.add_argument("--provider", default="", help="only this folder of conformance/cases")
    options = parser.parse_args(arguments)
    try:
        return _fixtures(options.provider)
    except CaseError as exc:
        print(exc, file=sys.stderr)
        return 2


def _fixtures(provider: str) -> int:
    failed = 0
    cases = load_all(provider=provider)
    for case in cases:
        try:
            changed = in_process.write_fixtures(case)
        except Exception as exc:  # one broken case must not hide the others
            failed += 1
            print(f"{case.name}: {type(exc).__name__}: {exc}", file=sys.stderr)
            continue
        if changed:
            print(f"{case.name}: {', '.join(changed)}")
    print(f"{len(cases)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
