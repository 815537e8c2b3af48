"""The controller's program: what it says before anything runs."""

import pytest

from extension_server.main import main


def test_without_its_namespace_the_process_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    assert main([]) == 2
    assert "POD_NAMESPACE is not set" in capsys.readouterr().err
