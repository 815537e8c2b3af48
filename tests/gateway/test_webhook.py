"""The admission webhook, asked by a real API server, and its certificates."""

import asyncio
import base64
import contextlib
import dataclasses
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from conformance import children
from extension_server.api.aigateway import GatewayConfig
from extension_server.api.container import EnvVar
from extension_server.compile.result import ObjectRef
from extension_server.controller.client import KubernetesApi
from extension_server.controller.token_key import SECRETS
from extension_server.sidecar import container
from extension_server.sidecar.container import Settings
from extension_server.webhook.admission import Admission, Known, NotKnown
from extension_server.webhook.cert_manager import INJECTED, MANAGED
from extension_server.webhook.certificates import AUTHORITY_LIFE, AUTHORITY_RENEWAL, NEXT_AUTHORITY, OVERLAP
from extension_server.webhook.keeper import CONFIGURATIONS, Keeper
from extension_server.webhook.server import WebhookServer
from hack.tools import build
from tests.support import cert_manager, go_modules, helm
from tests.support.apiserver import ApiServer, Refused
from tests.support.envoy import free_port
from tests.support.waiting import LIMIT, eventually
from tests.unit.extension_server.sidecar.proxies import LABELS, SETTINGS, config, proxy

SECRET = "certificates"
PLACE = "test"
"""the namespace that the chart is rendered for"""
CONFIGURATION = f"envoy-ai-gateway-gateway-pod-mutator.{PLACE}"

pytestmark = pytest.mark.skipif(bool(helm.missing()), reason="not run: helm not built (`make tools`)")


def configuration(port: int) -> dict[str, Any]:
    return helm.webhook(f"localhost:{port}", PLACE)


class Now:
    def __init__(self) -> None:
        self.value = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.value


@pytest.fixture
async def client(cluster: ApiServer) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(await KubernetesApi.configuration(Path(cluster.kubeconfig))) as api:
        yield api


def keeper(client: KubernetesApi, namespace: str, now: Callable[[], datetime], leads: bool = True) -> Keeper:
    return Keeper(client, namespace, SECRET, CONFIGURATION, ("localhost",), now, leads=lambda: leads)


@contextlib.asynccontextmanager
async def serving(
    certificates: Keeper,
    port: int,
    namespace: str,
    *,
    mediated: bool = True,
    own: GatewayConfig | None = None,
    settings: Settings = SETTINGS,
) -> AsyncIterator[None]:
    async def known(_: ObjectRef) -> Known:
        return Known(mediated=mediated, config=own)

    admission = Admission(
        settings=lambda: settings, gateway=known, ca=certificates.authorities, proxies_namespace=namespace
    )
    server = WebhookServer(admission, certificates.context)
    assert await server.start("127.0.0.1", port) == port
    try:
        yield
    finally:
        await server.stop()


@pytest.fixture
async def port(cluster: ApiServer, namespace: str) -> AsyncIterator[int]:
    found = free_port()
    await asyncio.to_thread(cluster.apply, configuration(found))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
    await asyncio.to_thread(cluster.create, account)
    yield found
    await asyncio.to_thread(cluster.delete, configuration(found))


def pod(namespace: str, name: str, *, hashed: bool = False, labels: dict[str, str] = LABELS) -> dict[str, Any]:
    made = proxy(serviceAccountName="default", automountServiceAccountToken=False)
    made["spec"]["containers"][0]["volumeMounts"] = []
    annotations = {container.HASH_ANNOTATION: "some"} if hashed else {}
    made["metadata"] = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    return made


async def created(cluster: ApiServer, document: dict[str, Any]) -> dict[str, Any]:
    return (await asyncio.to_thread(cluster.create, document)).object


def has_filter(found: dict[str, Any]) -> bool:
    return any(each["name"] == container.CONTAINER for each in found["spec"].get("initContainers", ()))


async def test_the_api_server_stores_the_filter_in_a_proxy_pod(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    certificates = keeper(client, namespace, Now())
    await certificates.look()
    async with serving(certificates, port, namespace):
        found = await created(cluster, pod(namespace, "proxy"))
        again = await created(cluster, pod(namespace, "hashed", hashed=True))
    assert has_filter(found)
    assert has_filter(again)
    assert found["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert found["metadata"]["annotations"][container.CA_ANNOTATION] == certificates.authorities()


ALL_OF_IT = config(
    image="registry.example/mine:2",
    env=[{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    resources={"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m"}},
    securityContext={"runAsUser": 65532, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
    volumeMounts=[{"name": "extra", "mountPath": "/extra", "readOnly": True}],
)
EVERYTHING = Settings(
    image="mine:1",
    pull_secrets=("a", "b"),
    environment=(EnvVar(name="A", value="0"), EnvVar(name="C", value="3")),
    config_address="controller.aigw.svc:18003",
)


@pytest.mark.parametrize("native", [True, False])
async def test_the_api_server_takes_a_filter_with_all_that_can_be_set(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int, native: bool
) -> None:
    certificates = keeper(client, namespace, Now())
    await certificates.look()
    settings = dataclasses.replace(EVERYTHING, native=native)
    asked = pod(namespace, "proxy", hashed=True)
    asked["spec"]["volumes"] = [{"name": "extra", "emptyDir": {}}]
    async with serving(certificates, port, namespace, own=ALL_OF_IT, settings=settings):
        found = await created(cluster, asked)
    made = found["spec"]["initContainers" if native else "containers"][-1]
    assert made["image"] == "registry.example/mine:2"
    assert [each["name"] for each in made["env"]] == ["A", "C", "B"]
    assert made["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}}
    assert made["securityContext"] == {"runAsUser": 65532, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
    assert {"name": "extra", "mountPath": "/extra", "readOnly": True} in made["volumeMounts"]
    assert ("lifecycle" in made) is not native
    assert found["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


async def test_a_caller_that_names_no_server_gets_the_certificate_too(
    client: KubernetesApi, namespace: str, port: int
) -> None:
    certificates = keeper(client, namespace, Now())
    await certificates.look()
    trusting = ssl.create_default_context(cadata=certificates.authorities())
    trusting.check_hostname = False
    async with serving(certificates, port, namespace):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="")
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    assert ssl.DER_cert_to_PEM_cert(shown).encode() == certificates.bundle().certificate


async def test_pods_of_others_never_get_here(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    """Nobody answers, and with the annotation a pod that is asked about would wait."""
    rate_limit = {"app.kubernetes.io/managed-by": "envoy-gateway", "app.kubernetes.io/component": "ratelimit"}
    of_others = [
        pod(namespace, "limiter", hashed=True, labels=rate_limit),
        pod(namespace, "web", hashed=True, labels={"app": "web"}),
        pod(namespace, "other", hashed=True, labels={**LABELS, "app.kubernetes.io/managed-by": "somebody"}),
        pod(namespace, "no-envoy", hashed=True),
    ]
    of_others[-1]["spec"]["containers"][0]["name"] = "something"
    for each in of_others:
        assert not has_filter(await created(cluster, each))


async def test_while_the_webhook_is_away_only_proxies_that_need_the_filter_wait(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    await keeper(client, namespace, Now()).look()
    assert not has_filter(await created(cluster, pod(namespace, "plain")))
    with pytest.raises(Refused, match=r"ai-gateway-controller\.test\.svc"):
        await created(cluster, pod(namespace, "hashed", hashed=True))


async def test_a_gateway_without_ai_routes_keeps_its_proxies_as_they_are(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    certificates = keeper(client, namespace, Now())
    await certificates.look()
    async with serving(certificates, port, namespace, mediated=False):
        assert not has_filter(await created(cluster, pod(namespace, "proxy")))


async def test_an_authority_is_replaced_while_the_api_server_goes_on_asking(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    now = Now()
    today = now.value
    certificates, other = keeper(client, namespace, now), keeper(client, namespace, now, leads=False)
    now.value = today - AUTHORITY_LIFE + AUTHORITY_RENEWAL - timedelta(days=3)
    await certificates.look()
    first = certificates.bundle()
    async with serving(certificates, port, namespace):
        now.value = today - OVERLAP - timedelta(minutes=10)
        await certificates.look()
        both = certificates.bundle()
        assert both.authorities.startswith(first.authorities)
        assert has_filter(await created(cluster, pod(namespace, "both", hashed=True)))
        now.value = today
        await certificates.look()
        assert certificates.bundle().certificate != both.certificate
        assert certificates.bundle().authorities.endswith(first.authorities)
        found = await created(cluster, pod(namespace, "new", hashed=True))
    assert found["metadata"]["annotations"][container.CA_ANNOTATION].encode() == certificates.bundle().authorities
    await other.look()
    assert other.bundle() == certificates.bundle()


async def test_it_is_known_since_when_the_api_server_asks_the_webhook(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    now = Now()
    certificates = keeper(client, namespace, now)
    changes: list[datetime | None] = []
    certificates.subscribe_registration(lambda: changes.append(certificates.registered))
    await certificates.look()
    assert changes.pop() is not None
    await asyncio.to_thread(cluster.delete, configuration(port))
    await certificates.look()
    assert changes == [None]
    await asyncio.to_thread(cluster.apply, configuration(port))
    now.value += timedelta(hours=1)
    await certificates.look()
    await certificates.look()
    assert changes == [None, now.value]


async def test_a_webhook_that_was_away_between_two_looks_is_newly_registered(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    now = Now()
    certificates = keeper(client, namespace, now)
    await certificates.look()
    before = certificates.registered
    await asyncio.to_thread(cluster.delete, configuration(port))
    await asyncio.to_thread(cluster.apply, configuration(port))
    now.value += timedelta(hours=1)
    await certificates.look()
    assert before is not None
    assert certificates.registered == now.value
    # Or it has the authority from the start, as after a backup was restored.
    held = await client.get(CONFIGURATIONS, None, CONFIGURATION)
    other = keeper(client, namespace, Now())
    await other.look()
    assert other.registered == datetime.fromisoformat(held["metadata"]["creationTimestamp"])


async def test_a_webhook_configuration_that_was_reset_is_told_again(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    certificates = keeper(client, namespace, Now())
    await certificates.look()
    await asyncio.to_thread(cluster.apply, configuration(port))
    await certificates.look()
    async with serving(certificates, port, namespace):
        assert has_filter(await created(cluster, pod(namespace, "hashed", hashed=True)))


async def test_of_two_replicas_that_start_at_once_both_have_one_certificate(
    client: KubernetesApi, namespace: str, port: int
) -> None:
    replicas = [keeper(client, namespace, Now(), leads=False) for _ in range(4)]
    await asyncio.gather(*(each.look() for each in replicas))
    await asyncio.gather(*(each.look() for each in replicas))
    assert len({each.bundle().certificate for each in replicas}) == 1


async def test_a_connection_is_a_reason_to_look_at_once(client: KubernetesApi, namespace: str, port: int) -> None:
    """The API server may know an authority whose certificate has not been read yet."""
    other = keeper(client, namespace, Now())
    await other.look()
    certificates = Keeper(client, namespace, SECRET, CONFIGURATION, ("localhost",), Now(), period=3600)
    task = asyncio.create_task(certificates.run())
    try:
        # Everything is in its place: the next look is an hour away.
        await asyncio.wait_for(certificates.ready.wait(), LIMIT)
        await client.delete(SECRETS, namespace, SECRET)
        await other.look()
        assert certificates.bundle() != other.bundle()
        trusting = ssl.create_default_context(cadata=other.authorities())

        async def connects() -> bool:
            with contextlib.suppress(ssl.SSLCertVerificationError):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
                writer.close()
                await writer.wait_closed()
                return True
            return False

        async with serving(certificates, port, namespace):
            assert not await connects()
            await eventually(lambda: certificates.bundle() == other.bundle(), "it has looked")
            assert await connects()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# ---- beside cert-manager: its objects and what it writes, without its programs


@pytest.fixture
def definitions(cluster: ApiServer, tmp_path: Path) -> None:
    try:
        cluster.install(cert_manager.write_definitions(tmp_path / "definitions.yaml"))
    except go_modules.NotThere as exc:
        pytest.skip(f"not run: {exc}")


def certificate(namespace: str, name: str = "theirs") -> dict[str, Any]:
    issuer = {"kind": "Issuer", "name": "any"}
    spec = {"secretName": SECRET, "dnsNames": ["localhost"], "issuerRef": issuer}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata, "spec": spec}


async def issue(client: KubernetesApi, namespace: str, now: datetime) -> dict[str, bytes]:
    """What cert-manager does with the Secret; whatever else is in there stays."""
    data = cert_manager.issued(["localhost"], now - timedelta(minutes=1), timedelta(days=90))
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    await client.patch(SECRETS, namespace, SECRET, {"metadata": {"annotations": {MANAGED: "theirs"}}, "data": encoded})
    return data


async def inject(client: KubernetesApi, authority: bytes) -> None:
    """What its cainjector does."""
    held = await client.get(CONFIGURATIONS, None, CONFIGURATION)
    for hook in held["webhooks"]:
        hook["clientConfig"]["caBundle"] = base64.b64encode(authority).decode()
    await client.replace(CONFIGURATIONS, held)


async def versions(client: KubernetesApi, namespace: str) -> list[str]:
    """Of the objects that both may write."""
    found = [await client.get(SECRETS, namespace, SECRET), await client.get(CONFIGURATIONS, None, CONFIGURATION)]
    return [each["metadata"]["resourceVersion"] for each in found]


async def promise(cluster: ApiServer, port: int, namespace: str) -> None:
    """The chart with cert-manager switched on."""
    promised = configuration(port)
    promised["metadata"]["annotations"] = {INJECTED: f"{namespace}/theirs"}
    await asyncio.to_thread(cluster.apply, promised)


@pytest.mark.usefixtures("definitions")
async def test_a_secret_of_cert_managers_is_only_read(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    now = Now()
    certificates = keeper(client, namespace, now)
    await certificates.look()
    await asyncio.to_thread(cluster.create, certificate(namespace))
    theirs = await issue(client, namespace, now.value)
    await certificates.look()
    assert certificates.authorities().encode() == theirs["ca.crt"]
    before = await versions(client, namespace)
    now.value += timedelta(days=89)
    await certificates.look()
    assert await versions(client, namespace) == before


@pytest.mark.usefixtures("definitions")
async def test_a_secret_changes_hands_to_cert_manager_and_back_and_no_proxy_is_refused(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    now = Now()
    now.value -= OVERLAP  # the API server's clock goes as it likes
    certificates = keeper(client, namespace, now)
    await certificates.look()
    async with serving(certificates, port, namespace):
        # Switched on: until cert-manager has issued, the API server is told by us, also of a configuration that is new.
        await asyncio.to_thread(cluster.delete, configuration(port))
        await promise(cluster, port, namespace)
        await asyncio.to_thread(cluster.create, certificate(namespace))
        await certificates.look()
        assert has_filter(await created(cluster, pod(namespace, "promised", hashed=True)))
        theirs = await issue(client, namespace, now.value)
        await inject(client, theirs["ca.crt"])
        before = await versions(client, namespace)
        await certificates.look()
        assert await versions(client, namespace) == before
        assert has_filter(await created(cluster, pod(namespace, "theirs", hashed=True)))
        # Switched off: the chart takes the annotation away, then the Certificate.
        await client.patch(CONFIGURATIONS, None, CONFIGURATION, {"metadata": {"annotations": {INJECTED: None}}})
        await certificates.look()
        assert await versions(client, namespace) == [before[0], mock.ANY]
        await asyncio.to_thread(cluster.delete, certificate(namespace))
        await certificates.look()
        assert certificates.bundle().certificate == theirs["tls.crt"]
        assert has_filter(await created(cluster, pod(namespace, "both", hashed=True)))
        now.value += OVERLAP
        await certificates.look()
        assert certificates.bundle().certificate != theirs["tls.crt"]
        assert certificates.authorities().encode().endswith(theirs["ca.crt"])
        assert has_filter(await created(cluster, pod(namespace, "ours", hashed=True)))
    now.value += timedelta(days=80)
    until = certificates.bundle().expires()
    await certificates.look()
    assert certificates.bundle().expires() > until


@pytest.mark.usefixtures("definitions")
async def test_nothing_is_written_while_cert_manager_is_promised_and_its_certificate_is_away(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    now = Now()
    certificates = keeper(client, namespace, now)
    await certificates.look()
    await promise(cluster, port, namespace)
    theirs = await issue(client, namespace, now.value)
    await inject(client, theirs["ca.crt"])
    before = await versions(client, namespace)
    await certificates.look()
    assert certificates.bundle().certificate == theirs["tls.crt"]
    assert await versions(client, namespace) == before
    assert "its Certificate theirs does not exist: nobody renews it" in caplog.text


@pytest.mark.usefixtures("definitions")
async def test_proxies_are_not_replaced_before_cert_manager_has_told_the_api_server(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    now = Now()
    await keeper(client, namespace, now).look()
    await asyncio.to_thread(cluster.create, certificate(namespace))
    theirs = await issue(client, namespace, now.value)
    await asyncio.to_thread(cluster.delete, configuration(port))
    await promise(cluster, port, namespace)
    certificates = keeper(client, namespace, now)
    await certificates.look()
    assert certificates.registered is None
    await inject(client, theirs["ca.crt"])
    now.value += timedelta(hours=1)
    await certificates.look()
    first = now.value
    assert certificates.registered == first
    now.value += timedelta(hours=1)
    await certificates.look()
    assert certificates.registered == first
    await inject(client, (await issue(client, namespace, now.value))["ca.crt"])
    await certificates.look()
    assert certificates.registered == now.value


@pytest.fixture
def running(definitions: None, cluster: ApiServer, tmp_path: Path) -> Iterator[None]:
    """cert-manager itself."""
    if build.missing(["cert-manager"]):
        pytest.skip("not run: cert-manager not built (`python -m hack.tools.build cert-manager`)")
    with contextlib.ExitStack() as stack:
        for command in ("controller", "cainjector"):
            log = stack.enter_context((tmp_path / f"{command}.log").open("wb"))
            program = [*children.guard(), str(build.place("cert-manager")), command, str(cluster.kubeconfig)]
            process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(process.wait, LIMIT)
            stack.callback(process.kill)
        yield


def of_the_chart(namespace: str) -> list[dict[str, Any]]:
    """Issuers and Certificates. The webhook is called as `localhost` here."""
    values = {"certManager": {"enable": True, "certificateName": "theirs"}, "tlsCertSecretName": SECRET}
    asked = {f"controller.mutatingWebhook.{name}": value for name, value in values.items()}
    only = ("--show-only", "templates/certificate.yaml")
    found = helm.documents(helm.text("ai-gateway-helm", asked, namespace=namespace, more=only))
    (leaf,) = (each for each in found if each["metadata"]["name"] == "theirs")
    leaf["spec"]["dnsNames"].append("localhost")
    return found


@pytest.mark.usefixtures("running")
async def test_cert_manager_issues_renews_and_gives_back(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    def held(key: str) -> bytes:
        """Also of a Secret that is not there."""
        with contextlib.suppress(Refused):
            return base64.b64decode(cluster.get("v1", "Secret", SECRET, namespace)["data"].get(key, ""))
        return b""

    def is_told() -> bool:
        """The API server knows the authority that is in the Secret."""
        hooks = cluster.get("admissionregistration.k8s.io/v1", CONFIGURATIONS.kind, CONFIGURATION)["webhooks"]
        return all(held("ca.crt") in base64.b64decode(hook["clientConfig"]["caBundle"]) for hook in hooks)

    async def admits(name: str) -> None:
        assert has_filter(await created(cluster, pod(namespace, name, hashed=True)))

    certificates = keeper(client, namespace, Now())
    await certificates.look()
    ours = certificates.bundle()
    async with serving(certificates, port, namespace):
        await promise(cluster, port, namespace)
        for document in of_the_chart(namespace):
            await asyncio.to_thread(cluster.apply, document)
        # Issued, although what is there would do.
        await eventually(lambda: held("ca.crt") != ours.authorities and is_told(), "issued")
        await admits("told")
        await certificates.look()
        theirs = certificates.bundle()
        assert (theirs.authorities, theirs.certificate) == (held("ca.crt"), held("tls.crt"))
        await admits("issued")

        await client.delete(SECRETS, namespace, SECRET)
        await certificates.look()
        await eventually(lambda: held("tls.crt"), "issued again")
        await certificates.look()
        assert certificates.bundle().authorities == theirs.authorities
        assert certificates.bundle().certificate == held("tls.crt") != theirs.certificate
        await admits("again")

        await asyncio.to_thread(cluster.apply, configuration(port))
        for document in of_the_chart(namespace):
            await asyncio.to_thread(cluster.delete, document)
        theirs = certificates.bundle()
        await certificates.look()
        assert certificates.bundle().certificate == theirs.certificate
        assert certificates.bundle().authorities.startswith(theirs.authorities)
        assert held(NEXT_AUTHORITY)
        assert is_told()
        await admits("back")


async def test_a_secret_that_cert_manager_is_to_make_is_waited_for(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    await promise(cluster, port, namespace)
    certificates = keeper(client, namespace, Now())
    await certificates.look()
    with pytest.raises(NotKnown, match="is not there yet"):
        certificates.bundle()
    assert not (await client.list(SECRETS, namespace)).items


async def test_a_secret_that_somebody_deletes_is_made_again_and_told_to_the_api_server(
    cluster: ApiServer, client: KubernetesApi, namespace: str, port: int
) -> None:
    certificates, other = keeper(client, namespace, Now()), keeper(client, namespace, Now(), leads=False)
    await certificates.look()
    await other.look()
    first = certificates.bundle()
    await client.delete(SECRETS, namespace, SECRET)
    await other.look()
    await certificates.look()
    assert certificates.bundle() == other.bundle() != first
    async with serving(certificates, port, namespace):
        assert has_filter(await created(cluster, pod(namespace, "hashed", hashed=True)))
