"""Flags and environment of the controller process."""

import pytest

from extension_server.main import BadFlags, Options, main, read_options

HERE = {"POD_NAMESPACE": "aigw-system", "POD_NAME": "pod-1"}


def test_defaults() -> None:
    found = read_options([], HERE)
    assert found.identity.startswith("pod-1_")
    assert found == Options(
        namespace="aigw-system",
        identity=found.identity,
        host="0.0.0.0",
        port=1063,
        root_prefix="/",
        watch_namespaces=(),
        leader_election=True,
        log_level="info",
        gateway_controller_name="gateway.envoyproxy.io/gatewayclass-controller",
    )


def test_flags_are_written_with_one_dash_or_two() -> None:
    found = read_options(
        [
            "-port=127.0.0.1:7",
            "--watchNamespaces",
            "a, b,,a",
            "-enableLeaderElection=false",
            "-logLevel",
            "DEBUG",
            "--rootPrefix=/ai",
        ],
        HERE,
    )
    assert (found.host, found.port, found.watch_namespaces) == ("127.0.0.1", 7, ("a", "b"))
    assert (found.leader_election, found.log_level, found.root_prefix) == (False, "debug", "/ai")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port=1063"], 'invalid port: "1063"'),
        (["--port=:70000"], 'invalid port: ":70000"'),
        (["--logLevel=loud"], 'invalid log level: "loud"'),
        (["--rootPrefix=ai"], 'invalid root prefix: "ai"'),
    ],
)
def test_wrong_flags_are_named(arguments: list[str], says: str) -> None:
    with pytest.raises(BadFlags, match=says):
        read_options(arguments, HERE)


def test_without_its_namespace_the_process_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    assert main([]) == 2
    assert "POD_NAMESPACE is not set" in capsys.readouterr().err


def test_an_unknown_flag_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_options(["--no-such-flag"], HERE)
    assert caught.value.code == 2
    assert "--no-such-flag" in capsys.readouterr().err
