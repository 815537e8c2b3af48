"""`python -m conformance fixtures|run|new-provider`: the command line behind the make targets of these names."""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from conformance import coverage, in_process, report, scaffold, through_envoy
from conformance.case import Case, CaseError, load_all
from conformance.gateway import GatewayFailed
from conformance.observation import differences


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all passed. 1: something failed. 2: cases or arguments that cannot be read."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "new-provider":
            return _new_provider(options.name)
        cases = load_all(provider=options.provider)
        return _fixtures(cases) if options.command == "fixtures" else _run(cases, options)
    except (CaseError, scaffold.ScaffoldError, GatewayFailed) as exc:
        print(exc, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance")
    commands = parser.add_subparsers(dest="command", required=True)
    fixtures = commands.add_parser("fixtures", help="rewrite the expected files, delete stale ones")
    run = commands.add_parser("run", help="run the cases in process and through Envoy, print a table, write a report")
    new = commands.add_parser("new-provider", help="write the module and the first cases of a provider")
    new.add_argument("name", help="lower_snake_case")
    for command in (fixtures, run):
        command.add_argument("--provider", default="", help="only this folder of conformance/cases")
    run.add_argument("--in-process", action="store_true", help="leave Envoy out")
    run.add_argument("--out", type=Path, default=Path("out"), help="folder of the report files")
    return parser


def _new_provider(name: str) -> int:
    for path in scaffold.write(name):
        print(path)
    print(scaffold.next_steps(name))
    return 0


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
    console = Console()
    report.show(result, console if console.is_terminal else Console(width=110))
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
