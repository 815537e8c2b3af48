"""The commands of the install page on a real API server: all but those that wait for pods, which tests/e2e runs."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hack.tools import build
from tests.gateway.test_charts_envoy_gateway import RELEASES, chart
from tests.support import apiserver, helm, pages, terminal
from tests.support.apiserver import ApiServer, Refused
from tests.support.pages import INSTALL, ROOT
from tests.support.terminal import Terminal

TOOLS = ("helm", "kubectl")
NEEDS_PODS = re.compile(
    r"kubectl .*\b(rollout status|wait|port-forward) |^(GATEWAY|SERVICE)=|^(curl|aigw) |kubectl delete namespace "
)
WAITS = re.compile(r" --wait\b")
"""Hooks of charts are jobs, which are pods too."""

pytestmark = pytest.mark.skipif(bool(build.missing(TOOLS)), reason="not run: helm, kubectl not built (`make tools`)")


def _here(command: str) -> str:
    """Without pods, and without the minute that an API server may take to clean up after a definition."""
    return WAITS.sub(" --no-hooks", command).replace("xargs kubectl delete", "xargs kubectl delete --wait=false")


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a shell in a copy of the project."""

    api: ApiServer
    version: str
    """of Envoy Gateway"""
    shell: Terminal

    def section(self, title: str) -> None:
        for block in pages.for_release(INSTALL, self.version):
            for command in block.commands:
                if block.section == title and not pages.reason(command) and not NEEDS_PODS.search(command):
                    self.shell.run(_here(command))


@pytest.fixture(scope="module", params=RELEASES)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    folder, release = tmp_path_factory.mktemp("reader"), RELEASES[request.param]
    for name in ("manifests", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "my-values.yaml").write_text("controller: {image: {tag: mine}}\n")
    (folder / "bin").mkdir()
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(build.place(tool))
    version = release.module.rpartition("@")[2]
    source = str(chart(release, folder / "gateway-helm", with_definitions=True))
    helm.run("package", source, "--version", version, "--destination", str(folder))
    with apiserver.running_apiserver() as api:
        environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(api.kubeconfig),
            "OPENAI_API_KEY": "sk-test",
        }
        with terminal.opened(folder, environment) as shell:
            yield Reader(api, version, shell)


def test_what_the_page_says_can_be_done(reader: Reader) -> None:
    titles = list(dict.fromkeys(block.section for block in pages.for_release(INSTALL, reader.version)))
    *steps, upgrade, uninstall = titles
    for title in steps:
        reader.section(title)
    route = reader.api.get("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", "chat")
    assert route["spec"]["parentRefs"][0]["name"] == "ai"
    assert reader.api.get("v1", "Secret", "openai")["data"] == {"apiKey": "c2stdGVzdA=="}
    namespace = helm.NAMESPACE
    deployment = reader.api.get("apps/v1", "Deployment", "ai-gateway-controller", namespace)
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "aigw/ai-gateway-controller:mine"
    configuration = reader.api.get("v1", "ConfigMap", "envoy-gateway-config", "envoy-gateway-system")
    assert f"ai-gateway-controller.{namespace}.svc.cluster.local" in configuration["data"]["envoy-gateway.yaml"]
    # Twice is once.
    for title in steps:
        reader.section(title)
    assert (upgrade, uninstall) == ("Upgrade", "Uninstall")
    reader.section(upgrade)
    reader.section(uninstall)
    configuration = reader.api.get("v1", "ConfigMap", "envoy-gateway-config", "envoy-gateway-system")
    assert "extensionManager" not in configuration["data"]["envoy-gateway.yaml"]
    with pytest.raises(Refused, match="NotFound"):
        reader.api.get("apps/v1", "Deployment", "ai-gateway-controller", namespace)
    found = reader.api.http.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]
    ours = [each["metadata"] for each in found if each["spec"]["group"] == "aigateway.envoyproxy.io"]
    assert all("deletionTimestamp" in each for each in ours)
