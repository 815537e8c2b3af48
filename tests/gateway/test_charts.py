"""Our charts through the real helm, and what it renders through the real API server."""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from extension_server.controller.kinds import WATCHED
from extension_server.options import Options, read
from extension_server.sidecar.container import HASH_ANNOTATION
from extension_server.webhook import certificates, signing
from tests.support import cert_manager, go_modules, helm
from tests.support.apiserver import ApiServer, Refused
from tests.support.helm import HelmFailed, documents, named

CHART = "ai-gateway-helm"
DEPLOYMENT = "Deployment ai-gateway-controller"
SERVICE = "Service ai-gateway-controller"
WEBHOOK = f"MutatingWebhookConfiguration envoy-ai-gateway-gateway-pod-mutator.{helm.NAMESPACE}"
BUDGET = "PodDisruptionBudget ai-gateway-controller"
ROLE = f"ai-gateway-controller:{helm.NAMESPACE}"
TEAMS = ("team-a", "team-b")

pytestmark = pytest.mark.skipif(bool(helm.missing()), reason="not run: helm not built (`make tools`)")


def render(values: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return named(documents(helm.text(CHART, values, **options)))


def container(objects: Mapping[str, Any]) -> dict[str, Any]:
    (deployment,) = (each for each in objects.values() if each["kind"] == "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def flags(objects: Mapping[str, Any]) -> Options:
    """As the process itself reads them: a flag that it does not have ends the test."""
    return read(container(objects)["args"], {"POD_NAMESPACE": helm.NAMESPACE})


# ---- by default


@pytest.mark.parametrize("chart", ["ai-gateway-helm", "ai-gateway-crds-helm"])
def test_helm_finds_nothing_to_complain_about(chart: str) -> None:
    said = helm.run("lint", "--strict", "--kube-version", helm.KUBERNETES, str(helm.CHARTS / chart))
    assert "1 chart(s) linted, 0 chart(s) failed" in said


def test_objects_have_the_names_that_users_know() -> None:
    reader = "envoy-ai-gateway-inference-pool-reader"
    assert set(render()) == {
        "ServiceAccount ai-gateway-controller",
        f"ClusterRole {ROLE}",
        f"ClusterRoleBinding {ROLE}",
        f"Role {ROLE}:own",
        f"RoleBinding {ROLE}:own",
        f"ClusterRole {reader}:{helm.NAMESPACE}",
        f"ClusterRoleBinding {reader}-binding:{helm.NAMESPACE}",
        DEPLOYMENT,
        SERVICE,
        BUDGET,
        WEBHOOK,
    }


def test_the_controller_starts_with_its_own_defaults() -> None:
    found = flags(render())
    plain = read([], {"POD_NAMESPACE": helm.NAMESPACE})
    assert {name for name in Options.__slots__ if getattr(found, name) != getattr(plain, name)} == {
        "identity",
        "ext_proc",
        "shutdown_delay",
    }
    assert found.ext_proc.image == "aigw/ai-gateway-extproc:0.1.0"


def test_nothing_is_rendered_twice_in_different_ways() -> None:
    # Certificates made by a chart change with every `helm template`, and expire without anybody noticing.
    assert helm.text(CHART) == helm.text(CHART)


def test_no_right_has_a_star_and_secrets_are_never_deleted() -> None:
    for name, each in render().items():
        if name.split()[0] in ("Role", "ClusterRole"):
            for rule in each["rules"]:
                assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"]), name
                assert "secrets" not in rule["resources"] or "delete" not in rule["verbs"], name


@pytest.mark.parametrize("namespaces", [[], ["team-a"]], ids=["everywhere", "some namespaces"])
def test_every_kind_that_the_controller_watches_may_be_watched(namespaces: list[str]) -> None:
    objects = render({"controller.watch.namespaces": namespaces})
    rules = objects[f"ClusterRole {ROLE}"]["rules"] + (objects[f"Role {ROLE}"]["rules"] if namespaces else [])
    allowed = {
        (group, resource)
        for rule in rules
        if {"get", "list", "watch"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert {(each.group, each.plural) for each in WATCHED} - allowed == set()


def test_the_container_may_do_nothing_that_it_does_not_need() -> None:
    objects = render()
    assert objects[DEPLOYMENT]["spec"]["template"]["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    context = container(objects)["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}


# ---- every value, one by one: (value, what the rendered text has then)

ROWS: dict[str, tuple[Any, str]] = {
    "nameOverride": ("other", "app.kubernetes.io/name: other"),
    "global.imagePullSecrets": ([{"name": "pull"}, "text"], "--extProcImagePullSecrets=pull;text"),
    "endpointConfig.rootPrefix": ("/ai", "--rootPrefix=/ai"),
    "endpointConfig.openai": ("/openai", "--endpointPrefixes=openai:/openai,cohere:/cohere,anthropic:/anthropic"),
    "endpointConfig.cohere": (None, "openai:,cohere:,anthropic:/anthropic"),
    "endpointConfig.anthropic": ("/a", "openai:,cohere:/cohere,anthropic:/a"),
    "extProc.image.repository": ("mine/filter", "--extProcImage=mine/filter:0.1.0"),
    "extProc.image.tag": ("9", "--extProcImage=aigw/ai-gateway-extproc:9"),
    "extProc.imagePullPolicy": ("Always", "--extProcImagePullPolicy=Always"),
    "extProc.imagePullSecrets": ([{"name": "own"}], "--extProcImagePullSecrets=own"),
    "extProc.logLevel": ("info+1", "--extProcLogLevel=info+1"),
    "extProc.logFormat": ("json", "--extProcLogFormat=json"),
    "extProc.enableRedaction": (True, "--extProcEnableRedaction=true"),
    "extProc.extraEnvVars": (
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "B", "value": "1;2"}],
        "secretKeyRef",
    ),
    "controller.logLevel": ("debug", "--logLevel=debug"),
    "controller.logFormat": ("json", "--logFormat=json"),
    "controller.nameOverride": ("unused", ""),
    "controller.fullnameOverride": ("gate", "--serviceName=gate"),
    "controller.gatewayControllerName": ("example.com/other", "--gatewayControllerName=example.com/other"),
    "controller.quotaRateLimitServiceAddr": ("limiter:1", "--quotaRateLimitServiceAddr=limiter:1"),
    "controller.quotaRateLimitTimeout": (6, "--quotaRateLimitTimeout=6"),
    "controller.quotaRateLimitFailureModeDeny": (True, "--quotaRateLimitFailureModeDeny=true"),
    "controller.requestHeaderAttributes": ("x-a:a,x-b:b", "--requestHeaderAttributes=x-a:a,x-b:b"),
    "controller.spanRequestHeaderAttributes": ("", "--spanRequestHeaderAttributes="),
    "controller.metricsRequestHeaderAttributes": ("x-a:a", "--metricsRequestHeaderAttributes=x-a:a"),
    "controller.logRequestHeaderAttributes": ("", "--logRequestHeaderAttributes="),
    "controller.serviceAccount.create": (False, "serviceAccountName: ai-gateway-controller"),
    "controller.serviceAccount.annotations": ({"role": "arn:aws:iam::1:role/x"}, "role: arn:aws:iam::1:role/x"),
    "controller.serviceAccount.name": ("own", "name: own"),
    "controller.rbac.create": (False, ""),
    "controller.leaderElection.enabled": (False, "--enableLeaderElection=false"),
    "controller.watch.namespaces": ([*TEAMS, "team-a"], "--watchNamespaces=team-a,team-b"),
    "controller.watch.cacheSyncTimeout": ("1m30s", "--cacheSyncTimeout=1m30s"),
    "controller.shutdownDelay": ("500ms", "--shutdownDelay=500ms"),
    "controller.image.repository": ("mine/controller", 'image: "mine/controller:0.1.0"'),
    "controller.image.tag": ("9", 'image: "aigw/ai-gateway-controller:9"'),
    "controller.imagePullPolicy": ("Never", "imagePullPolicy: Never"),
    "controller.imagePullSecrets": ([{"name": "own"}], "- name: own"),
    "controller.replicaCount": (3, "replicas: 3"),
    "controller.podAnnotations": ({"a": "1"}, 'a: "1"'),
    "controller.podLabels": ({"team": "x", "app.kubernetes.io/name": "lost"}, "team: x"),
    "controller.podDisruptionBudget.enabled": (False, ""),
    "controller.podDisruptionBudget.annotations": ({"a": "1"}, 'a: "1"'),
    "controller.podDisruptionBudget.minAvailable": ("50%", "minAvailable: 50%"),
    "controller.podDisruptionBudget.maxUnavailable": (0, "maxUnavailable: 0"),
    "controller.podSecurityContext.runAsNonRoot": (False, "runAsNonRoot: false"),
    "controller.podSecurityContext.runAsUser": (1000, "runAsUser: 1000"),
    "controller.podSecurityContext.runAsGroup": (1000, "runAsGroup: 1000"),
    "controller.podSecurityContext.seccompProfile.type": ("Unconfined", "type: Unconfined"),
    "controller.securityContext.allowPrivilegeEscalation": (True, "allowPrivilegeEscalation: true"),
    "controller.securityContext.capabilities.drop": (["NET_RAW"], "- NET_RAW"),
    "controller.securityContext.privileged": (None, "readOnlyRootFilesystem: true"),
    "controller.securityContext.readOnlyRootFilesystem": (False, "readOnlyRootFilesystem: false"),
    "controller.securityContext.runAsNonRoot": (False, "runAsNonRoot: false"),
    "controller.securityContext.runAsUser": (1000, "runAsUser: 1000"),
    "controller.securityContext.runAsGroup": (1000, "runAsGroup: 1000"),
    "controller.securityContext.seccompProfile.type": ("Unconfined", "type: Unconfined"),
    "controller.podEnv": ({"A": "x", "N": 1}, 'value: "1"'),
    "controller.extraEnvVars": ([{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}], "nodeName"),
    "controller.volumes": (
        [
            {"name": "old", "mountPath": "/o", "subPath": "a", "configmap": {"name": "c", "defaultMode": 420}},
            {"name": "new", "mountPath": "/n", "readOnly": True, "secret": {"secretName": "s"}},
            {"name": "new", "mountPath": "/n2", "subPath": "b", "secret": {"secretName": "s"}},
        ],
        "secretName: s",
    ),
    "controller.service.type": ("LoadBalancer", "type: LoadBalancer"),
    "controller.service.annotations": ({"a": "1"}, 'a: "1"'),
    "controller.service.ports": ([{"name": "grpc", "port": 1063, "targetPort": 1063}], "name: filter-config"),
    "controller.configPort": (19003, "--configPort=19003"),
    "controller.configAddress": ("here.example:443", "--configAddress=here.example:443"),
    "controller.mutatingWebhook.port": (9444, "--webhookPort=9444"),
    "controller.mutatingWebhook.tlsCertSecretName": ("own", "--tlsCertSecretName=own"),
    "controller.mutatingWebhook.tlsCertName": ("c.pem", "--tlsCertName=c.pem"),
    "controller.mutatingWebhook.tlsKeyName": ("k.pem", "--tlsKeyName=k.pem"),
    "controller.mutatingWebhook.caBundleName": ("ca.pem", "--caBundleName=ca.pem"),
    "controller.mutatingWebhook.certManager.enable": (True, f"cert-manager.io/inject-ca-from: {helm.NAMESPACE}/self-"),
    "controller.mutatingWebhook.certManager.issuerName": ("unused", ""),
    "controller.mutatingWebhook.certManager.certificateName": ("unused", ""),
    "controller.mutatingWebhook.objectSelector.matchLabels": ({"a": "b"}, "a: b"),
    "controller.mutatingWebhook.namespaceSelector": ({"matchLabels": {"ai": "yes"}}, '"yes"'),
    "controller.mutatingWebhook.matchConditions": ([{"name": "x", "expression": "true"}], 'expression: "true"'),
    "controller.mutatingWebhook.timeoutSeconds": (5, "timeoutSeconds: 5"),
    "controller.mutatingWebhook.failurePolicy": ("Ignore", "failurePolicy: Ignore"),
    "controller.hostNetwork": (True, "dnsPolicy: ClusterFirstWithHostNet"),
    "controller.priorityClassName": ("high", "priorityClassName: high"),
    "controller.terminationGracePeriodSeconds": (60, "terminationGracePeriodSeconds: 60"),
    "controller.resources": ({"limits": {"memory": "1Gi"}}, "memory: 1Gi"),
    "controller.nodeSelector": ({"disk": "ssd"}, "disk: ssd"),
    "controller.tolerations": ([{"operator": "Exists"}], "operator: Exists"),
    "controller.affinity": ({"podAntiAffinity": {}}, "podAntiAffinity"),
    "controller.topologySpreadConstraints": (
        [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}],
        "topologyKey: zone",
    ),
    "controller.maxRecvMsgSize": (67108864, "--maxRecvMsgSize=67108864"),
    "controller.mcp.sessionEncryption.seed": ("s3cret", ""),
    "controller.mcp.sessionEncryption.iterations": (5, ""),
    "controller.mcp.sessionEncryption.fallback.seed": ("s3cret", ""),
    "controller.mcp.sessionEncryption.fallback.iterations": (5, ""),
    "envoyGateway.namespace": ("eg", "--envoyGatewayNamespace=eg"),
    "envoyGateway.serviceAccountName": ("own", "name: own"),
}
WITHOUT_EFFECT = {
    "controller.nameOverride",  # of use without fullnameOverride alone
    "controller.mutatingWebhook.certManager.issuerName",  # with cert-manager alone
    "controller.mutatingWebhook.certManager.certificateName",
    *(path for path in ROWS if path.startswith("controller.mcp.")),  # not served, and secret
}
SETS: dict[str, dict[str, Any]] = {
    "cert-manager": {
        "controller.mutatingWebhook.certManager": {"enable": True, "issuerName": "i", "certificateName": "c"},
        "controller.mutatingWebhook.tlsCertSecretName": "own",
    },
    "a name of the release": {"controller.fullnameOverride": "", "controller.nameOverride": "gate"},
    "the ports of older charts": {
        "controller.service.ports": [
            {"name": "mutating-webhook", "protocol": "TCP", "port": 9443, "appProtocol": "http", "targetPort": 9443},
            {"name": "grpc", "protocol": "TCP", "port": 1063, "appProtocol": "grpc", "targetPort": 1063},
            {"name": "http-metrics", "protocol": "TCP", "port": 8080, "appProtocol": "http", "targetPort": 8080},
            {"name": "ratelimit-xds", "protocol": "TCP", "port": 18002, "appProtocol": "grpc", "targetPort": 18002},
        ]
    },
    "a list for podEnv": {"controller.podEnv": [{"name": "A", "value": "1"}]},
    "one replica with a budget": {"controller.replicaCount": 1, "controller.podDisruptionBudget.enabled": True},
    "namespaces, the controller's among them": {"controller.watch.namespaces": [helm.NAMESPACE, "team-a"]},
}


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_the_table_has_every_value() -> None:
    values = yaml.safe_load((helm.CHARTS / CHART / "values.yaml").read_text())
    assert set(ROWS) == {*leaves(values), "nameOverride"} - {
        "controller.mutatingWebhook.objectSelector.matchLabels.app.kubernetes.io/managed-by"
    } | {"controller.mutatingWebhook.objectSelector.matchLabels"}


@pytest.mark.parametrize("path", ROWS)
def test_a_value_has_its_effect(path: str) -> None:
    value, expected = ROWS[path]
    text = helm.text(CHART, {path: value})
    assert expected in text
    assert (text == helm.text(CHART)) == (path in WITHOUT_EFFECT)
    assert "s3cret" not in text
    read(container(named(documents(text)))["args"], {"POD_NAMESPACE": helm.NAMESPACE})


@pytest.fixture(scope="module")
def place(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    """The API server with the namespaces that values name, and cert-manager's definitions."""
    for name in (helm.NAMESPACE, "envoy-gateway-system", "eg", *TEAMS):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        api.install(cert_manager.write_definitions(tmp_path_factory.mktemp("cert-manager") / "definitions.yaml"))
    except go_modules.NotThere as exc:
        pytest.skip(f"not run: {exc}")
    return api


def test_the_api_server_takes_what_every_value_makes(place: ApiServer) -> None:
    rendered = [helm.text(CHART)]
    rendered += [helm.text(CHART, {path: value}) for path, (value, _) in ROWS.items()]
    rendered += [helm.text(CHART, values) for values in SETS.values()]
    seen: list[dict[str, Any]] = []
    for text in rendered:
        for document in documents(text):
            if document not in seen:
                seen.append(document)
                answer = place.apply(document, dry_run=True)
                assert answer.warnings == (), document
    assert {each["kind"] for each in seen} >= {"Certificate", "Issuer", "Role", "RoleBinding", "Deployment"}


def test_the_api_server_takes_the_chart_of_definitions(place: ApiServer) -> None:
    found = documents(helm.text("ai-gateway-crds-helm"))
    assert len(found) == 6
    for document in found:
        assert document["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        place.apply(document, dry_run=True)


def test_charts_are_installed_upgraded_and_uninstalled(place: ApiServer) -> None:
    def run(*arguments: str) -> str:
        return helm.run(*arguments, "--namespace", helm.NAMESPACE, kubeconfig=place.kubeconfig)

    definitions, controller = str(helm.CHARTS / "ai-gateway-crds-helm"), str(helm.CHARTS / CHART)
    said = run("install", "aieg-crd", definitions, "--take-ownership")
    assert "`helm uninstall` keeps them" in said
    try:
        said = run("install", helm.RELEASE, controller, "--set", "controller.mcp.sessionEncryption.seed=s3cret")
        assert f"kubectl -n {helm.NAMESPACE} rollout status deployment/ai-gateway-controller" in said
        assert f"hostname: ai-gateway-controller.{helm.NAMESPACE}.svc.cluster.local" in said
        assert "controller.mcp.sessionEncryption has no effect: kind MCPRoute is not served by this release" in said
        assert "s3cret" not in said
        version = "admissionregistration.k8s.io/v1"
        name = WEBHOOK.partition(" ")[2]
        told = place.get(version, "MutatingWebhookConfiguration", name)
        made = certificates.renewed({}, certificates.Names(), ("localhost",), datetime.now(UTC))
        assert made is not None
        authority = made[certificates.Names().authority]
        for hook in told["webhooks"]:
            hook["clientConfig"]["caBundle"] = base64.b64encode(authority).decode()
        place.http.put(f"/apis/{version}/mutatingwebhookconfigurations/{name}", json=told).raise_for_status()
        said = run("upgrade", helm.RELEASE, controller, "--set", "controller.watch.namespaces={team-a}")
        assert "It watches team-a; objects elsewhere are not seen." in said
        place.get("rbac.authorization.k8s.io/v1", "Role", ROLE, "team-a")
        # What the controller has written stays: nobody waits for it to write it again.
        assert place.get(version, "MutatingWebhookConfiguration", name)["webhooks"] == told["webhooks"]
        run("rollback", helm.RELEASE, "1")
        with pytest.raises(Refused, match="NotFound"):
            place.get("rbac.authorization.k8s.io/v1", "Role", ROLE, "team-a")
    finally:
        run("uninstall", helm.RELEASE)
        said = run("uninstall", "aieg-crd")
    assert "[CustomResourceDefinition] aigatewayroutes.aigateway.envoyproxy.io" in said
    name = "aigatewayroutes.aigateway.envoyproxy.io"
    assert place.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)["metadata"]["annotations"]


# ---- what values do together


def test_a_service_account_of_the_users_has_its_rights_all_the_same() -> None:
    objects = render({"controller.serviceAccount": {"create": False, "name": "own"}})
    assert "ServiceAccount own" not in objects
    bound = [
        each["subjects"][0]["name"]
        for name, each in objects.items()
        if "Binding" in name and "inference-pool" not in name
    ]
    assert bound == ["own", "own"]
    assert not any("Role" in name for name in render({"controller.rbac.create": False}))


def test_without_election_there_is_one_writer_at_any_time() -> None:
    objects = render({"controller.leaderElection.enabled": False})
    assert flags(objects).leader_election is False
    assert objects[DEPLOYMENT]["spec"]["replicas"] == 1
    assert objects[DEPLOYMENT]["spec"]["strategy"] == {"type": "Recreate"}
    assert BUDGET not in objects
    with pytest.raises(HelmFailed, match=r"controller\.replicaCount is 2, and several replicas need controller\.lead"):
        render({"controller.leaderElection.enabled": False, "controller.replicaCount": 2})


def test_a_budget_never_keeps_the_only_replica_on_its_node_unless_it_is_asked_for() -> None:
    assert BUDGET not in render({"controller.replicaCount": 1})
    assert BUDGET in render({"controller.replicaCount": 1, "controller.podDisruptionBudget.enabled": True})


def test_ports_that_the_controller_needs_are_added_to_a_list_that_lacks_them() -> None:
    objects = render(SETS["the ports of older charts"])
    assert {port["name"]: port["port"] for port in objects[SERVICE]["spec"]["ports"]} == {
        "mutating-webhook": 9443,
        "grpc": 1063,
        "http-metrics": 8080,
        "ratelimit-xds": 18002,
        "filter-config": 18003,
    }


def test_a_port_that_is_moved_is_moved_everywhere() -> None:
    objects = render({"controller.mutatingWebhook.port": 9444, "controller.configPort": 19003})
    assert [port["port"] for port in objects[SERVICE]["spec"]["ports"]] == [9444, 1063, 8080, 19003]
    assert [port["containerPort"] for port in container(objects)["ports"]] == [9444, 1063, 8080, 19003]
    assert objects[WEBHOOK]["webhooks"][0]["clientConfig"]["service"]["port"] == 9444
    assert (flags(objects).webhook_port, flags(objects).config_port) == (9444, 19003)


def test_variables_of_filters_arrive_whole() -> None:
    objects = render({"extProc.extraEnvVars": ROWS["extProc.extraEnvVars"][0]})
    first, second = flags(objects).ext_proc.extra_env_vars
    assert first.value_from is not None
    assert first.value_from.secret_key_ref is not None
    assert (second.name, second.value) == ("B", "1;2")


GRPC = "GRPC_VERBOSITY"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({}, ["ERROR"]),
        ({"controller.podEnv": {GRPC: "debug"}}, ["debug"]),
        ({"controller.podEnv": [{"name": GRPC, "value": "debug"}]}, ["debug"]),
        ({"controller.extraEnvVars": [{"name": GRPC, "value": "debug"}]}, ["debug"]),
    ],
    ids=["the chart's", "a map", "a list", "extra"],
)
def test_what_grpc_writes_into_the_log_is_said_once(values: dict[str, Any], texts: list[str]) -> None:
    assert [each["value"] for each in container(render(values))["env"] if each["name"] == GRPC] == texts


def test_volumes_of_any_kind_are_mounted_once_each() -> None:
    objects = render({"controller.volumes": ROWS["controller.volumes"][0]})
    volumes = objects[DEPLOYMENT]["spec"]["template"]["spec"]["volumes"]
    assert volumes[1:] == [
        {"name": "old", "configMap": {"name": "c", "defaultMode": 420}},
        {"name": "new", "secret": {"secretName": "s"}},
    ]
    assert container(objects)["volumeMounts"][1:] == [
        {"name": "old", "mountPath": "/o", "subPath": "a"},
        {"name": "new", "mountPath": "/n", "readOnly": True},
        {"name": "new", "mountPath": "/n2", "subPath": "b"},
    ]


def test_with_cert_manager_the_controller_waits_for_its_secret() -> None:
    objects = render(SETS["cert-manager"])
    assert objects["Certificate c"]["spec"]["secretName"] == flags(objects).certificates.secret_name == "own"
    assert objects["Certificate c"]["spec"]["dnsNames"] == [
        f"ai-gateway-controller{suffix}"
        for suffix in ("", *(f".{helm.NAMESPACE}{end}" for end in ("", ".svc", ".svc.cluster.local")))
    ]
    assert objects[WEBHOOK]["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"{helm.NAMESPACE}/c"}
    assert {"name": "certificates", "secret": {"secretName": "own"}} in (
        objects[DEPLOYMENT]["spec"]["template"]["spec"]["volumes"]
    )


def test_cert_manager_does_not_take_what_the_controller_has_made_for_its_own() -> None:
    wanted = render(SETS["cert-manager"])["Certificate c"]["spec"]["privateKey"]
    assert (wanted["algorithm"], wanted["size"]) != ("ECDSA", signing.new_key().key_size)


@pytest.mark.parametrize("name", ["tlsCertName", "tlsKeyName", "caBundleName"])
def test_cert_manager_and_other_keys_of_the_secret_are_refused(name: str) -> None:
    hook = "controller.mutatingWebhook"
    with pytest.raises(HelmFailed, match=rf"{hook}\.{name} is x, and cert-manager writes"):
        render({**SETS["cert-manager"], f"{hook}.{name}": "x"})


def test_a_controller_of_some_namespaces_has_no_rights_elsewhere() -> None:
    objects = render({"controller.watch.namespaces": list(TEAMS)})
    everywhere = {resource for rule in objects[f"ClusterRole {ROLE}"]["rules"] for resource in rule["resources"]}
    assert everywhere == {"gatewayclasses", "namespaces", "tokenreviews", "mutatingwebhookconfigurations"}
    text = helm.text(CHART, {"controller.watch.namespaces": list(TEAMS)})
    roles = {
        (each["metadata"]["name"].removeprefix(ROLE), each["metadata"]["namespace"])
        for each in documents(text)
        if each["kind"] == "Role"
    }
    assert roles == {
        (":own", helm.NAMESPACE),
        *(("", team) for team in TEAMS),
        *((":proxies", namespace) for namespace in ("envoy-gateway-system", *TEAMS)),
    }


def test_an_upgrade_changes_no_name_and_no_selector() -> None:
    before, after = render(), render({"controller.image.tag": "next", "controller.replicaCount": 5})
    assert set(before) == set(after)
    assert before[DEPLOYMENT]["spec"]["selector"] == after[DEPLOYMENT]["spec"]["selector"]
    assert before[SERVICE] == after[SERVICE]


# ---- the webhook, with nobody behind it


LABELS = {
    "app.kubernetes.io/managed-by": "envoy-gateway",
    "gateway.envoyproxy.io/owning-gateway-name": "edge",
    "gateway.envoyproxy.io/owning-gateway-namespace": "team-a",
}
MARK = {HASH_ANNOTATION: "some"}


def pod(labels: dict[str, str], annotations: dict[str, str], container: str = "envoy") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "team-a", "labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": container, "image": "i"}], "automountServiceAccountToken": False},
    }


def test_only_proxies_that_have_ai_routes_ever_wait_for_the_controller(place: ApiServer) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team-a"}}
    place.apply(account)
    # There is no such Service, so whoever is asked cannot be reached.
    configuration = render()[WEBHOOK]
    place.apply(configuration)
    # A webhook without side effects is asked on dry runs too.
    limiter = {"app.kubernetes.io/managed-by": "envoy-gateway", "app.kubernetes.io/component": "ratelimit"}
    try:
        place.create(pod({"app": "web"}, {}), dry_run=True)
        place.create(pod({"app": "web"}, MARK), dry_run=True)
        place.create(pod(limiter, MARK), dry_run=True)
        place.create(pod(LABELS, MARK, "other"), dry_run=True)
        place.create(pod(LABELS, {}), dry_run=True)
        with pytest.raises(Refused, match="failed calling webhook"):
            place.create(pod(LABELS, MARK), dry_run=True)
    finally:
        place.delete(configuration)


# ---- mistakes


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("controller.replicaCount", "many", "at '/controller/replicaCount': got string, want null or integer"),
        ("controller.replicaCout", 2, "at '/controller': additional properties 'replicaCout' not allowed"),
        ("controler", {}, "at '': additional properties 'controler' not allowed"),
        ("extProc.logLevel", "loud", "at '/extProc/logLevel': 'loud' does not match pattern"),
        ("controller.logFormat", "xml", "at '/controller/logFormat': value must be one of 'text', 'json'"),
        ("controller.watch.cacheSyncTimeout", "2", "at '/controller/watch/cacheSyncTimeout': '2' does not match"),
        ("controller.watch.namespaces", ["A"], "at '/controller/watch/namespaces/0': 'A' does not match pattern"),
        ("endpointConfig.rootPrefix", "ai", "at '/endpointConfig/rootPrefix': 'ai' does not match pattern '^/'"),
        ("controller.mutatingWebhook.port", 0, "at '/controller/mutatingWebhook/port': minimum: got 0, want 1"),
        ("controller.volumes", [{"name": "a"}], "at '/controller/volumes/0'"),
        ("extProc.extraEnvVars", [{"name": "A", "from": 1}], "additional properties 'from' not allowed"),
        ("controller.requestHeaderAttributes", "x-a", "at '/controller/requestHeaderAttributes': 'x-a' does not match"),
        ("controller.image.repository", "", "at '/controller/image/repository': minLength: got 0, want 1"),
    ],
)
def test_a_wrong_value_is_named(path: str, value: Any, says: str) -> None:
    with pytest.raises(HelmFailed) as caught:
        render({path: value})
    assert says in str(caught.value)


def test_the_chart_of_definitions_takes_no_values() -> None:
    with pytest.raises(HelmFailed, match="additional properties 'keep' not allowed"):
        helm.text("ai-gateway-crds-helm", {"keep": False})


def test_packages_have_everything(tmp_path: Path) -> None:
    for chart in ("ai-gateway-helm", "ai-gateway-crds-helm"):
        helm.run("package", str(helm.CHARTS / chart), "--destination", str(tmp_path))
        packed = tmp_path / f"{chart}-0.1.0.tgz"
        assert helm.text(packed) == helm.text(chart)
