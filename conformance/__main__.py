"""`python -m conformance fixtures|run`: the command line behind `make fixtures` and `make conformance`."""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from conformance import coverage, in_process, report, through_envoy
from conformance.case import Case, CaseError, load_all
from conformance.observation import differences


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all passed. 1: something failed. 2: cases or arguments that cannot be read."""
    options = _parser().parse_args(arguments)
    try:
        cases = load_all(provider=options.provider)
        return _fixtures(cases) if options.command == "fixtures" else _run(cases, options)
    except (CaseError, through_envoy.GatewayFailed) as exc:
        print(exc, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance")
    commands = parser.add_subparsers(dest="command", required=True)
    fixtures = commands.add_parser("fixtures", help="rewrite the expected files, delete stale ones")
    run = commands.add_parser("run", help="run the cases in process and through Envoy, print a table, write a report")
    for command in (fixtures, run):
        command.add_argument("--provider", default="", help="only this folder of conformance/cases")
    run.add_argument("--in-process", action="store_true", help="leave Envoy out")
    run.add_argument("--out", type=Path, default=Path("out"), help="folder of the report files")
    return parser


def _fixtures(cases: Sequence[Case]) -> int:
    failed = 0
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


def _run(cases: Sequence[Case], options: argparse.Namespace) -> int:
    verdicts = list(_in_process(cases))
    if not options.in_process:
        for seen in asyncio.run(through_envoy.run_all(cases)):
            verdicts.append(report.verdict(seen.case, seen.plan, seen.differences))  # noqa: PERF401  two statements
    # Ties are between all requirements and all cases, whatever was asked to run.
    problems = coverage.problems(coverage.load(), load_all())
    result = report.Report(versions=report.versions(), verdicts=tuple(verdicts), problems=tuple(problems))
    report.show(result, Console())
    print("report: " + ", ".join(str(path) for path in report.write(result, options.out)))
    return 0 if result.passed else 1


def _in_process(cases: Sequence[Case]) -> Iterator[report.Verdict]:
    for case in cases:
        if "process" not in case.via:
            continue
        try:
            found = differences(case, in_process.observe(case))
        except Exception as exc:  # a crash is a verdict too
            found = [f"{type(exc).__name__}: {exc}"]
        yield report.verdict(case, "process", found)


if __name__ == "__main__":
    sys.exit(main())
