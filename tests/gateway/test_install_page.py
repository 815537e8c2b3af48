"""The commands of the install page on a real API server: all but those that wait for pods."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hack.tools import build
from tests.gateway.test_charts_envoy_gateway import RELEASES, chart
from tests.support import apiserver, helm
from tests.support.apiserver import ApiServer, Refused
from tests.support.install_page import ROOT, sections

TOOLS = ("helm", "kubectl")
NEEDS_PODS = re.compile(r"kubectl .*\b(rollout status|wait) |^GATEWAY=|^curl |kubectl delete namespace ")
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
    folder: Path
    chart: Path

    def run(self, command: str) -> str:
        """In bash, as it stands on the page; without waiting for pods."""
        tools = self.folder / "bin"
        environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.api.kubeconfig),
            "EG_CHART": str(self.chart),
            "OPENAI_API_KEY": "sk-test",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", _here(command)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    def section(self, title: str) -> list[str]:
        return [self.run(command) for command in sections()[title] if not NEEDS_PODS.search(command)]


@pytest.fixture(scope="module", params=RELEASES)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    folder = tmp_path_factory.mktemp("reader")
    for name in ("manifests", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "my-values.yaml").write_text("controller: {image: {tag: mine}}\n")
    (folder / "bin").mkdir()
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(build.place(tool))
    with apiserver.running_apiserver() as api:
        yield Reader(api, folder, chart(RELEASES[request.param], folder / "gateway-helm", with_definitions=True))


def test_what_the_page_says_can_be_done(reader: Reader) -> None:
    titles = list(sections())
    assert titles == [
        "2. The definitions",
        "3. Envoy Gateway",
        "4. The AI gateway",
        "5. Is it there?",
        "6. The first request",
        "Upgrade",
        "Uninstall",
    ]
    for title in titles[:5]:
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
    for title in titles[:3]:
        reader.section(title)
    reader.section("Upgrade")
    reader.section("Uninstall")
    configuration = reader.api.get("v1", "ConfigMap", "envoy-gateway-config", "envoy-gateway-system")
    assert "extensionManager" not in configuration["data"]["envoy-gateway.yaml"]
    with pytest.raises(Refused, match="NotFound"):
        reader.api.get("apps/v1", "Deployment", "ai-gateway-controller", namespace)
    found = reader.api.http.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]
    ours = [each["metadata"] for each in found if each["spec"]["group"] == "aigateway.envoyproxy.io"]
    assert all("deletionTimestamp" in each for each in ours)
