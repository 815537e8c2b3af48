"""Server and follower over real TLS: changes arrive, strangers get nothing, nothing takes away what runs."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from extension_server.compile.result import ObjectRef
from extension_server.push import server as push_server
from filters.contract import push
from filters.contract.push import Hello, Running
from filters.contract.sections import Sections
from tests.support.push import EDGE, OTHER, Following, Pods, Serving, bundle, compiled, served
from tests.support.waiting import LIMIT, eventually
from tests.unit.filters.contract.test_push import same, state

PATH = f"/{push.SERVICE}/{push.METHOD}"
CERTIFICATE, DATA = bundle()
POD = ObjectRef("Pod", "envoy-gateway-system", "proxy")


def hash_of(numbers: list[int]) -> str:
    return state(numbers).config_hash


async def test_changes_reach_the_filter_and_its_report_comes_back(tmp_path: Path) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.feed.put(compiled(EDGE, [1, 2]))
        serving.feed.put(compiled(OTHER, [9]))
        async with Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy")).running() as filter_:
            await eventually(lambda: serving.running() == (hash_of([1, 2]),))
            serving.feed.put(compiled(EDGE, [1, 2, 3]))
            await eventually(lambda: serving.running() == (hash_of([1, 2, 3]),))
            serving.feed.put(compiled(EDGE, [1, 2, 3], "new"))
            await eventually(lambda: len(filter_.target.taken) == 3)
            assert same(filter_.target.taken[-1], state([1, 2, 3], "new"))
            serving.feed.put(compiled(OTHER, [8]))
            assert serving.running(OTHER) == ()
        await eventually(lambda: serving.reports.running(EDGE) is None, "gone")
        assert filter_.waits == 0


async def test_a_filter_waits_for_a_gateway_that_is_not_known_yet(tmp_path: Path) -> None:
    pods = Pods()
    async with (
        served(Serving(pods), CERTIFICATE) as serving,
        Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy")).running() as filter_,
    ):
        await eventually(lambda: serving.running() == ("",))
        serving.feed.put(compiled(EDGE, []))
        await eventually(lambda: serving.running() == (hash_of([]),))
        assert filter_.target.hashes == [hash_of([])]


async def test_who_is_refused_reads_why_and_comes_again_with_its_next_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.feed.put(compiled(EDGE, [1]))
        async with Following(tmp_path, serving.port, CERTIFICATE.authorities, "forged").running() as filter_:
            await eventually(lambda: filter_.waits >= 3)
            assert filter_.target.taken == []
            filter_.token.write_text(pods.add("proxy"))
            await eventually(lambda: filter_.target.hashes == [hash_of([1])])
    refused = [each for each in caplog.messages if "no configuration from the controller" in each]
    assert len(refused) == 1
    assert "unauthenticated: the token is not valid: invalid bearer token; there is no configuration" in refused[0]
    assert any("is refused a configuration: the token is not valid" in each for each in caplog.messages)


async def test_a_controller_that_restarts_sends_nothing_again(tmp_path: Path) -> None:
    pods = Pods()
    found = pods.add("proxy")
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.feed.put(compiled(EDGE, [1]))
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, found)
        task = asyncio.create_task(filter_.follower.run())
        await eventually(lambda: serving.running() == (hash_of([1]),))
        port = serving.port
    await eventually(lambda: filter_.waits >= 2)
    async with served(Serving(pods, port=port), CERTIFICATE) as again:
        again.feed.put(compiled(EDGE, [1]))
        await eventually(lambda: again.running() == (hash_of([1]),))
        assert filter_.target.hashes == [hash_of([1])]
        again.feed.put(compiled(EDGE, [2]))
        await eventually(lambda: again.running() == (hash_of([2]),))
        task.cancel()
        await asyncio.wait((task,))


async def test_certificates_change_without_a_restart(tmp_path: Path) -> None:
    pods = Pods()
    other, _ = bundle()
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.feed.put(compiled(EDGE, [1]))
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        async with filter_.running():
            await eventually(lambda: len(filter_.target.taken) == 1)
            serving.server.use(other.certificate, other.key)
            serving.server.accept(False)
            await eventually(lambda: filter_.waits >= 2)
            serving.server.accept(True)
            serving.feed.put(compiled(EDGE, [2]))
            # Not trusted yet: an authority of another Secret.
            before = filter_.waits
            await eventually(lambda: filter_.waits >= before + 2)
            assert len(filter_.target.taken) == 1
            filter_.authorities.write_bytes(other.authorities)
            await eventually(lambda: filter_.target.hashes == [hash_of([1]), hash_of([2])])


async def test_a_refused_configuration_is_a_sentence_until_another_one_is_taken(tmp_path: Path) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        filter_.target.refuse = lambda whole: "rule n/r: no\n" if whole.config_hash == hash_of([2]) else ""
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: serving.running() == (hash_of([1]),))
            serving.feed.put(compiled(EDGE, [2]))
            await eventually(lambda: serving.reports.troubles(EDGE) != ())
            assert serving.reports.troubles(EDGE) == (
                "the filter of Pod envoy-gateway-system/proxy keeps its last configuration: rule n/r: no",
            )
            assert serving.running() == (hash_of([1]),)
            serving.feed.put(compiled(EDGE, [1]))
            await eventually(lambda: serving.reports.troubles(EDGE) == ())
            serving.feed.put(compiled(EDGE, [3]))
            await eventually(lambda: serving.running() == (hash_of([3]),))
            assert filter_.target.hashes == [hash_of([1]), hash_of([3])]


async def test_an_error_that_nobody_thought_of_ends_nothing(tmp_path: Path) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        failing = {hash_of([1])}

        def refuse(whole: Sections) -> str:
            if whole.config_hash in failing:
                raise LookupError("sk-secret")
            return ""

        filter_.target.refuse = refuse
        filter_.token.write_bytes(b"\xff")
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: filter_.waits >= 2)
            filter_.token.write_text(pods.add("proxy"))
            await eventually(lambda: serving.reports.troubles(EDGE) != ())
            (sentence,) = serving.reports.troubles(EDGE)
            assert "internal error (LookupError)" in sentence
            assert "sk-secret" not in sentence
            serving.feed.put(compiled(EDGE, [2]))
            await eventually(lambda: serving.running() == (hash_of([2]),))


async def test_a_pod_without_the_ca_says_what_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    following = Following(tmp_path, 1, b"\n", "t")
    async with following.running():
        await eventually(lambda: following.waits >= 1)
    assert any(
        "ca.crt is empty: the pod has not got the annotation with the CA yet" in each for each in caplog.messages
    )


async def test_what_arrives_damaged_is_asked_for_again_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: serving.running() == (hash_of([1]),))
            bad = push.encode(push.update(state([5, 6]), state([5])))
            right, asked = serving.feed.update, []

            def once(gateway: object, running: push.State) -> bytes:
                asked.append(running)
                return bad if len(asked) == 1 else right(EDGE, running)

            monkeypatch.setattr(serving.feed, "update", once)
            serving.feed.put(compiled(EDGE, [1, 2]))
            await eventually(lambda: serving.running() == (hash_of([1, 2]),))
            assert asked == [push.state_of(state([1])), push.NOTHING]


async def test_a_filter_that_no_envoy_asks_is_known_until_one_does(tmp_path: Path) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        filter_.target.asked = True
        doubts: list[object] = []
        serving.reports.subscribe_doubts(doubts.append)
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: serving.running() == (hash_of([1]),))
            filter_.target.asked = False
            await eventually(lambda: serving.reports.unasked(EDGE) == (POD,))
            assert doubts == [EDGE]
            # It follows meanwhile.
            serving.feed.put(compiled(EDGE, [2]))
            await eventually(lambda: serving.running() == (hash_of([2]),))
            filter_.target.asked = True
            await eventually(lambda: serving.reports.unasked(EDGE) == ())
            filter_.target.asked = False
            await eventually(lambda: serving.reports.unasked(EDGE) == (POD,))
        await eventually(lambda: serving.reports.unasked(EDGE) == (), "gone")


async def test_a_new_controller_is_told_at_once(tmp_path: Path) -> None:
    pods = Pods()
    proof = pods.add("proxy")
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, proof)
        filter_.target.asked = False
        async with filter_.running():
            await eventually(lambda: serving.reports.unasked(EDGE) == (POD,))
            serving.server.accept(False)
            await eventually(lambda: serving.reports.unasked(EDGE) == ())
            serving.server.accept(True)
            await eventually(lambda: serving.reports.unasked(EDGE) == (POD,))


@pytest.mark.parametrize(
    "broken",
    [
        lambda pod: pod["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
        lambda pod: pod["metadata"].update(uid="another"),
        lambda pod: pod["status"].update(conditions=[{"type": "Ready", "status": "False"}]),
        lambda pod: pod.pop("status"),
        lambda pod: pod.clear() or pod.update(metadata={}),
    ],
    ids=["deleted", "replaced", "not ready", "just made", "emptied"],
)
async def test_in_a_pod_that_no_request_comes_to_no_envoy_need_ask(
    tmp_path: Path, broken: Callable[[dict[str, Any]], object]
) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        filter_.target.asked = False
        async with filter_.running():
            await eventually(lambda: serving.reports.unasked(EDGE) == (POD,))
            broken(pods.pods[POD.namespace, POD.name])
            await eventually(lambda: serving.reports.unasked(EDGE) == ())


async def test_while_the_api_server_is_away_nothing_new_is_believed(tmp_path: Path) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        filter_.target.asked = True
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: serving.running() == (hash_of([1]),))
            pods.away = True
            filter_.target.asked = False
            asked = pods.looks
            await eventually(lambda: pods.looks >= asked + 3)
            assert serving.reports.unasked(EDGE) == ()
            pods.away = False
            await eventually(lambda: serving.reports.unasked(EDGE) == (POD,))


async def test_a_controller_that_does_not_hear_it_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the release before ends the stream of a filter that says more than it knows."""
    monkeypatch.setattr(push_server, "HEARS", (push.ACCEPTED,))
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        filter_.target.asked = False
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: filter_.target.looks > 5 * push.SILENT_LOOKS)
            assert (pods.looks, serving.reports.unasked(EDGE)) == (1, ())
            serving.feed.put(compiled(EDGE, [2]))
            await eventually(lambda: serving.running() == (hash_of([2]),))
            assert filter_.waits == 0


async def test_a_filter_that_does_not_say_it_is_believed_to_be_asked(tmp_path: Path) -> None:
    """Those of the release before, and those with several workers."""
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        serving.feed.put(compiled(EDGE, [1]))
        async with filter_.running():
            await eventually(lambda: serving.running() == (hash_of([1]),))
            serving.feed.put(compiled(EDGE, [2]))
            await eventually(lambda: serving.running() == (hash_of([2]),))
            assert filter_.target.looks == 1
            assert serving.reports.unasked(EDGE) == ()


async def test_a_filter_of_another_contract_keeps_what_it_has_and_status_says_so() -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving, stream(serving, pods.add("proxy")) as call:
        serving.feed.put(compiled(EDGE, [1]))
        await call.write(push.encode(Hello(99, "9.9.9", push.State("theirs", "c"))))
        await eventually(lambda: serving.running() == ("theirs",))
        (sentence,) = serving.reports.troubles(EDGE)
        assert "is of release 9.9.9" in sentence
        assert "keeps its last one until its pod is restarted" in sentence


@pytest.mark.parametrize(
    ("messages", "details"),
    [
        ([b"noise"], "not a report"),
        ([push.encode(Running(push.NOTHING))], "the first message is not Hello"),
        ([push.encode(Hello(1, "", push.NOTHING))] * 2, "a second Hello"),
    ],
)
async def test_who_does_not_speak_the_protocol_is_turned_away(messages: list[bytes], details: str) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving, stream(serving, pods.add("proxy")) as call:
        serving.feed.put(compiled(EDGE, [1]))
        for message in messages:
            await call.write(message)
        assert await end(call) == grpc.StatusCode.INVALID_ARGUMENT
        assert details in await call.details()


async def test_a_filter_that_does_not_answer_is_turned_away_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(push_server, "ANSWER_LIMIT", 0.3)
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving, stream(serving, pods.add("silent")) as call:
        await call.write(push.encode(Hello(1, "", push.NOTHING)))
        await eventually(lambda: serving.running() == ("",))
        serving.feed.put(compiled(EDGE, [1]))
        async with Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy")).running():
            await eventually(lambda: hash_of([1]) in serving.running())
            assert await end(call) == grpc.StatusCode.DEADLINE_EXCEEDED
    assert any("has not taken its configuration" in each for each in caplog.messages)


async def test_a_stream_ends_with_its_token_and_the_filter_was_never_away(tmp_path: Path) -> None:
    pods = Pods()
    identities = pods.identities()
    serving = Serving(pods, grace=60.0)
    serving.server = push_server.PushServer(serving.feed, _Short(identities), serving.presence)  # type: ignore[arg-type]
    heard: list[object] = []
    async with served(serving, CERTIFICATE):
        serving.feed.put(compiled(EDGE, [1]))
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        async with filter_.running():
            await eventually(lambda: serving.running() == (hash_of([1]),))
            serving.reports.subscribe(heard.append)
            await eventually(lambda: pods.reviews >= 4)
        assert filter_.target.hashes == [hash_of([1])]
    assert heard == []


class _Short:
    """Verdicts that do not last."""

    def __init__(self, identities: push_server.Identities) -> None:
        self._identities = identities

    async def of(self, token: str) -> push_server.Filter:
        found = await self._identities.of(token)
        return push_server.Filter(found.gateway, found.pod, found.uid, 0.2)


async def test_who_does_not_lead_gives_a_first_configuration_and_sends_filters_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.server.accept(False)
        serving.feed.put(compiled(EDGE, [1]))
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, pods.add("proxy"))
        async with filter_.running():
            await eventually(lambda: filter_.target.hashes == [hash_of([1])])
            serving.feed.put(compiled(EDGE, [1, 2]))
            waits = filter_.waits
            await eventually(lambda: filter_.waits >= waits + 3)
            assert filter_.target.hashes == [hash_of([1])]
            assert pods.reviews == 1
            assert serving.running() == ()
            serving.server.accept(True)
            await eventually(lambda: serving.running() == (hash_of([1, 2]),))
    assert any("another replica of the controller leads" in each for each in caplog.messages)


async def test_who_does_not_lead_gives_nothing_to_strangers(tmp_path: Path) -> None:
    async with served(Serving(Pods()), CERTIFICATE) as serving:
        serving.server.accept(False)
        serving.feed.put(compiled(EDGE, [1]))
        filter_ = Following(tmp_path, serving.port, CERTIFICATE.authorities, "h.e.unknown")
        async with filter_.running():
            await eventually(lambda: filter_.waits >= 2)
        assert filter_.target.hashes == []


@pytest.mark.parametrize(
    "message",
    [
        push.encode(Hello(99, "9.9.9", push.NOTHING)),
        push.encode(Hello(push.CONTRACT, "", push.State("theirs", "c"))),
        push.encode(Running(push.NOTHING)),
        b"noise",
    ],
)
async def test_who_does_not_lead_asks_nobody_about_whom_it_can_only_send_on(message: bytes) -> None:
    pods = Pods()
    async with served(Serving(pods), CERTIFICATE) as serving, stream(serving, pods.add("proxy")) as call:
        serving.server.accept(False)
        serving.feed.put(compiled(EDGE, [1]))
        await call.write(message)
        assert await end(call) == grpc.StatusCode.UNAVAILABLE
        assert pods.reviews == 0


async def test_an_api_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    pods = Pods()
    found = pods.add("proxy")
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.feed.put(compiled(EDGE, [1]))
        pods.away = True
        async with Following(tmp_path, serving.port, CERTIFICATE.authorities, found).running() as filter_:
            await eventually(lambda: filter_.waits >= 2)
            pods.away = False
            await eventually(lambda: serving.running() == (hash_of([1]),))


async def test_the_last_good_configuration_is_there_for_the_next_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pods = Pods()
    found = pods.add("proxy")
    async with served(Serving(pods), CERTIFICATE) as serving:
        serving.feed.put(compiled(EDGE, [1]))
        async with Following(tmp_path, serving.port, CERTIFICATE.authorities, found, keep=True).running() as filter_:
            await eventually(lambda: serving.running() == (hash_of([1]),))
        port = serving.port
    caplog.set_level(logging.INFO)
    following = Following(tmp_path, port, CERTIFICATE.authorities, found, keep=True)
    await following.follower.restore()
    assert following.target.hashes == filter_.target.hashes
    async with following.running():
        await eventually(lambda: following.waits >= 2)
        async with served(Serving(pods, port=port), CERTIFICATE) as again:
            again.feed.put(compiled(EDGE, [1]))
            await eventually(lambda: again.running() == (hash_of([1]),))
    assert len(following.target.taken) == 1
    assert any(f"configuration {hash_of([1])} runs on" in each for each in caplog.messages)


async def test_a_last_good_configuration_that_cannot_be_served_is_forgotten(tmp_path: Path) -> None:
    following = Following(tmp_path, 1, CERTIFICATE.authorities, "t", keep=True)
    following.follower._sections = state([1])
    await following.follower._write()
    following.target.refuse = lambda _: "not this one"
    await following.follower.restore()
    assert list((tmp_path / "state").iterdir()) == []


class stream:  # noqa: N801  reads as what it is, in `async with`
    """A bare client of the push."""

    def __init__(self, serving: Serving, token: str) -> None:
        self._channel = grpc.aio.secure_channel(
            f"localhost:{serving.port}", grpc.ssl_channel_credentials(root_certificates=CERTIFICATE.authorities)
        )
        self._token = token

    async def __aenter__(self) -> Any:
        metadata = (("authorization", f"Bearer {self._token}"),)
        return self._channel.stream_stream(PATH)(metadata=metadata)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


async def end(call: Any) -> Any:
    """The status of a call, whatever else it still says."""
    async with asyncio.timeout(LIMIT):
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:
                pass
        return await call.code()
