"""What a translation showed that people or the controller must know. Pure data; the sink is the controller's."""

from dataclasses import dataclass
from typing import Protocol

from extension_server.compile.result import Finding, ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One translation, as far as one Gateway is concerned. Only Gateways with AI routes are observed."""

    gateway: ObjectRef
    config_hash: str
    """of the compiled result that was used; empty: there is none (yet) for these AI routes, and they answer 503"""
    known: bool = True
    """False: nothing was compiled for the Gateway"""
    again: float = 0.0
    """seconds after which Envoy Gateway is to translate the Gateway again; 0: not before something changes"""
    behind: bool = False
    """there are routes of a newer state than what is compiled here: to be translated again when that is known"""
    early: bool = False
    """the routes are of another state than what is compiled, and nothing was answered for the Gateway before: better
    not now either"""
    user_filters: frozenset[str] = frozenset()
    """RouteConfigurations with a filter of the user's after ours: `compile_gateway(user_filters=…)`"""
    findings: tuple[Finding, ...] = ()
    """sorted; an error means that the object named fails closed"""


class Sink(Protocol):
    """Takes observations, on the thread of the hooks. Must return at once; a raised exception is logged only."""

    def turned_away(self, gateway: ObjectRef, again: float) -> None:
        """A translation of the Gateway got no answer. Envoy Gateway keeps what it has and does not ask again by itself:
        it has to be made to, in `again` seconds; 0: as soon as something is known of the Gateway."""

    def observe(self, observation: Observation) -> None:
        """Called once per Gateway and translation, after the answer is made."""


class Ignored:
    """A sink for those who do not ask."""

    def turned_away(self, gateway: ObjectRef, again: float) -> None:
        """Nothing is done with it."""

    def observe(self, observation: Observation) -> None:
        """Nothing is done with it."""
