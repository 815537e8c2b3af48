from pathlib import Path

import pytest

from conformance import __main__ as command
from conformance import case, in_process, scaffold


def test_an_unknown_provider_ends_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["fixtures", "--provider", "nobody"]) == 2
    assert "no provider 'nobody'" in capsys.readouterr().err


def test_a_run_writes_its_report_and_fails_when_a_case_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scaffold.write("acme", schema="OpenAI", root=tmp_path)
    cases = case.load_all(tmp_path / "conformance" / "cases")
    monkeypatch.setattr(command, "load_all", lambda **_: cases)
    monkeypatch.setattr(command.coverage, "load", list)
    monkeypatch.setattr(command.coverage, "problems", lambda *_: [])
    # Every case answers what is not recorded yet.
    assert command.main(["run", "--in-process", "--out", str(tmp_path / "out")]) == 1
    assert "4 runs, 4 failed" in capsys.readouterr().out
    assert command.main(["fixtures"]) == 0
    assert "acme/chat_completions/error: upstream_request.json" in capsys.readouterr().out
    assert command.main(["run", "--in-process", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "conformance-report.json").is_file()


def test_one_broken_case_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scaffold.write("acme", schema="OpenAI", root=tmp_path)
    cases = case.load_all(tmp_path / "conformance" / "cases")
    monkeypatch.setattr(command, "load_all", lambda **_: cases)
    observe = in_process.observe

    def failing(found: case.Case) -> object:
        if found.name.endswith("stream-cut"):
            raise in_process.Unstable("it depends")
        return observe(found)

    monkeypatch.setattr(in_process, "observe", failing)
    assert command.main(["fixtures"]) == 1
    shown = capsys.readouterr()
    assert "acme/chat_completions/stream-cut: Unstable: it depends" in shown.err
    assert "4 cases, 1 failed" in shown.out


def test_a_new_provider_is_written_and_what_comes_next_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = scaffold.write
    monkeypatch.setattr(scaffold, "write", lambda name: write(name, root=tmp_path))
    assert command.main(["new-provider", "acme"]) == 0
    assert "make conformance PROVIDER=acme" in capsys.readouterr().out
    assert command.main(["new-provider", "Acme"]) == 2
