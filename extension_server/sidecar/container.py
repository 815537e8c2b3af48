"""What is put into a proxy pod: the filter's container, its volumes, and the mount that Envoy gets. Pure.

In: what the controller was told (`Settings`), and the Gateway's GatewayConfig. Out: parts of a pod as documents of the
Kubernetes API (API chapter §3.5). `template_hash` stands for all of it: a pod template that carries another one is out
of date. Routes are not part of it, they reach a running filter by the push.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from extension_server.api.aigateway import GatewayConfig
from extension_server.api.container import EnvVar
from filters.contract import jsonlib
from filters.contract.push import AUDIENCE

Document = dict[str, Any]

CONTAINER: Final = "ai-gateway-extproc"
ENVOY: Final = "envoy"
"""Envoy Gateway's name for the proxy's container"""
CA_ANNOTATION: Final = "aigateway.envoyproxy.io/ca"
"""of a pod: the certificates that the sidecar trusts the push of. On the pod, so that it needs no object of its own in
somebody else's namespace, and a new one reaches a running sidecar."""
HASH_ANNOTATION: Final = "aigateway.envoyproxy.io/extproc-config-hash"
"""of a pod template and its pods"""
ADMIN_PORT: Final = 1064

SOCKETS: Final = "/etc/ai-gateway-extproc-uds"
IDENTITY: Final = "/etc/ai-gateway-extproc-identity"
STATE: Final = "/var/lib/ai-gateway-extproc"
_SOCKETS_VOLUME: Final = "ai-gateway-extproc-uds"
_IDENTITY_VOLUME: Final = "ai-gateway-extproc-identity"
_STATE_VOLUME: Final = "ai-gateway-extproc-state"
_TOKEN_LIFE: Final = 3600
"""Seconds; the kubelet renews it when four fifths are over."""
_PERIOD: Final = 2
_FAILURES_AT_START: Final = 60
_LINGER: Final = 70
"""Seconds; Envoy Gateway lets Envoy drain for 60, and asks for 5 more to notice."""
_DRAIN: Final = 10
"""Seconds that a filter which is told to end goes on (`--drain-seconds`)"""
_GRACE: Final = 30
"""Kubernetes' default of terminationGracePeriodSeconds"""
_USER: Final = 65532
_HARDENED: Final[Document] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsGroup": _USER,
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is the same for every Gateway."""

    image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    environment: tuple[EnvVar, ...] = ()
    log_level: str = "info"
    log_format: str = "text"
    config_address: str
    """`host:port` of the push"""
    native: bool = True
    """the cluster knows sidecar containers: init containers that go on running (Kubernetes 1.29, by default 1.33)"""


def native_sidecars(major: str, minor: str) -> bool:
    """By the API server's version; some say `33+`."""

    def number(text: str) -> int:
        digits = "".join(each for each in text if each.isascii() and each.isdecimal())
        return int(digits) if digits else 0

    return (number(major), number(minor)) >= (1, 33)


def container(settings: Settings, config: GatewayConfig | None) -> Document:
    own = config.spec.ext_proc.kubernetes if config and config.spec and config.spec.ext_proc else None
    security = own.security_context if own else None
    made: Document = {
        "name": CONTAINER,
        "image": _image(settings.image, own.image if own else None, own.image_repository if own else None),
        "imagePullPolicy": settings.pull_policy,
        "ports": [{"name": "aigw-admin", "containerPort": ADMIN_PORT, "protocol": "TCP"}],
        "args": [
            *("--socket", f"{SOCKETS}/run.sock"),
            *("--config-server", settings.config_address),
            *("--config-server-ca", f"{IDENTITY}/ca.crt"),
            *("--config-server-token", f"{IDENTITY}/token"),
            *("--state", STATE),
            *("--admin-host", "0.0.0.0"),  # noqa: S104  probes come from the node
            *("--admin-port", str(ADMIN_PORT)),
            *("--log-level", settings.log_level),
            *("--log-format", settings.log_format),
            "--no-control",
        ],
        "env": _environment(settings.environment, own.env if own else ()),
        "resources": _plain(own.resources) if own and own.resources else {},
        "securityContext": _plain(security) if security else _HARDENED,
        "volumeMounts": [
            {"name": _SOCKETS_VOLUME, "mountPath": SOCKETS},
            {"name": _STATE_VOLUME, "mountPath": STATE},
            {"name": _IDENTITY_VOLUME, "mountPath": IDENTITY, "readOnly": True},
            *(_plain(mount) for mount in (own.volume_mounts if own else ())),
        ],
        # Envoy starts when the filter listens. It listens without a configuration too: a controller that is away
        # must not keep pods from starting, they are only not ready.
        "startupProbe": {
            "tcpSocket": {"port": ADMIN_PORT},
            "periodSeconds": 1,
            "failureThreshold": _FAILURES_AT_START,
        },
        "readinessProbe": {
            "httpGet": {"path": "/health", "port": ADMIN_PORT},
            "periodSeconds": _PERIOD,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
    }
    if settings.native:
        made["restartPolicy"] = "Always"
    return made


def lingering(grace: int | None) -> Document:
    """Members of an ordinary container. All of a pod's are told to end at once, Envoy goes on serving for a while; a
    sidecar container is told last and needs none of this. `grace`: the pod's terminationGracePeriodSeconds."""
    seconds = min(_LINGER, (_GRACE if grace is None else grace) - _DRAIN)
    if seconds <= 0:
        return {}
    # Not the action `sleep`: clusters that need this may not have it.
    return {"lifecycle": {"preStop": {"exec": {"command": ["python", "-c", f"import time; time.sleep({seconds})"]}}}}


def volumes() -> list[Document]:
    ca = {"path": "ca.crt", "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{CA_ANNOTATION}']"}}
    token = {"audience": AUDIENCE, "expirationSeconds": _TOKEN_LIFE, "path": "token"}
    return [
        {"name": _SOCKETS_VOLUME, "emptyDir": {}},
        {"name": _STATE_VOLUME, "emptyDir": {}},
        {
            "name": _IDENTITY_VOLUME,
            "projected": {
                # Readable for the group that the pod's volumes belong to, or the filter's own user.
                "defaultMode": 0o444,
                "sources": [{"serviceAccountToken": token}, {"downwardAPI": {"items": [ca]}}],
            },
        },
    ]


def envoy_mount() -> Document:
    return {"name": _SOCKETS_VOLUME, "mountPath": SOCKETS}


def template_hash(settings: Settings, config: GatewayConfig | None) -> str:
    """Same settings, same hash, whatever release or replica computes it."""
    parts = [container(settings, config), volumes(), list(settings.pull_secrets), settings.native]
    if not settings.native:
        parts.append(lingering(None))
    return hashlib.sha256(jsonlib.encode(parts)).hexdigest()


def _image(default: str, image: str | None, repository: str | None) -> str:
    if image:
        return image
    if repository:
        name, at, digest = default.partition("@")
        colon = name.rfind(":")
        tag = name[colon:] if colon > name.rfind("/") else ""
        return f"{repository}{tag if not at else ''}{at}{digest}"
    return default


def _environment(shared: tuple[EnvVar, ...], own: tuple[EnvVar, ...]) -> list[Document]:
    """A variable of the GatewayConfig takes the place of the controller's of that name."""
    return list({variable.name: _plain(variable) for variable in (*shared, *own)}.values())


def _plain(model: Any) -> Document:
    document: Document = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document
