"""What compiling the resources of one Gateway yields. Pure data, read by xds, controller, explain and status."""

from dataclasses import dataclass
from typing import Literal

from filters.contract import config
from filters.contract.config import FilterConfig, Plan
from filters.contract.sections import Sections


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Names one object: kind, namespace, name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a person must know about one object: `field` is its path, `message` says what to do."""

    severity: Literal["error", "warning"]
    object: ObjectRef
    field: str
    reason: str
    """CamelCase, as in status conditions"""
    message: str

    def __str__(self) -> str:
        where = f"{self.object}" + (f": {self.field}" if self.field else "")
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBackend:
    """One backendRef of a rule, as the xDS patches need it."""

    ref: int
    """index in the HTTPRoute rule's backendRefs (`…/backend/<ref>`)"""
    name: str
    """`filters.contract.config.Backend.name`"""
    host: str
    priority: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """One AIGatewayRoute rule and where it was generated."""

    http_route: ObjectRef
    http_rule: int
    """index of the rule in that HTTPRoute"""
    route: str
    """`<ns>/<name>` of the AIGatewayRoute"""
    rule: int
    token: str
    plan: Plan
    reason: str
    """why this plan, one sentence"""
    backends: tuple[CompiledBackend, ...]
    stream_idle_timeout: float | None = None
    """seconds"""
    authority: str = ""
    """host name to put into requests, because they are signed for it; empty: the endpoint's, where it has one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Everything that follows from the resources of one Gateway."""

    gateway: ObjectRef
    objects: tuple[object, ...]
    """generated Gateway API objects (extension_server.api models): HTTPRoutes, HTTPRouteFilters"""
    rules: tuple[CompiledRule, ...]
    fallbacks: tuple[tuple[ObjectRef, int], ...]
    """(HTTPRoute, rule index) of the generated last rules: the first match of every AI request"""
    filter_config: FilterConfig
    sections: Sections
    """`filter_config`, ready to be sent"""
    findings: tuple[Finding, ...]
    shadowed: tuple[Finding, ...] = ()
    """those of `findings` that no route knows by itself: another one takes its requests"""

    @property
    def config_hash(self) -> str:
        """Of everything in `filter_config` but the values of credentials."""
        return self.sections.config_hash

    @property
    def credentials_hash(self) -> str:
        return self.sections.credentials_hash

    @property
    def document(self) -> bytes:
        """`filter_config` as one document **with the credentials in clear**; encoded anew each time."""
        return config.encode(self.filter_config)
