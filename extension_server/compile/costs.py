"""Which numbers a rule puts into dynamic metadata: the route's costs, then the Gateway's for keys not yet set."""

from collections.abc import Iterable
from dataclasses import dataclass

from extension_server.api.aigateway import AIGatewayRoute, GatewayConfig, LLMRequestCost
from extension_server.compile.expressions import cost_problem
from extension_server.compile.result import Finding
from extension_server.compile.snapshot import ref_of
from filters.contract.config import Cost


@dataclass(frozen=True, slots=True)
class Costs:
    costs: tuple[Cost, ...]
    findings: tuple[Finding, ...] = ()


def of_route(route: AIGatewayRoute) -> Costs:
    return _checked(route, "spec.llmRequestCosts", route.spec.llm_request_costs if route.spec else ())


def of_config(config: GatewayConfig) -> Costs:
    return _checked(config, "spec.globalLLMRequestCosts", config.spec.global_llm_request_costs if config.spec else ())


def merged(route: Iterable[Cost], common: Iterable[Cost]) -> tuple[Cost, ...]:
    """Route costs win over common ones of the same key."""
    by_key = {cost.metadata_key: cost for cost in common}
    own = {cost.metadata_key: cost for cost in route}
    return (*own.values(), *(cost for key, cost in by_key.items() if key not in own))


def _checked(object_: AIGatewayRoute | GatewayConfig, field: str, costs: Iterable[LLMRequestCost]) -> Costs:
    """A cost that cannot be computed is left out, the others stay. The last definition of a key wins."""
    by_key: dict[str, Cost] = {}
    findings = []
    for index, cost in enumerate(costs):
        problem = None
        if cost.type == "CEL":
            problem = cost_problem(cost.cel) if cost.cel else "missing CEL expression, required with type CEL"
        if problem is None:
            expression = cost.cel or "" if cost.type == "CEL" else ""
            by_key[cost.metadata_key] = Cost(metadata_key=cost.metadata_key, type=cost.type, cel=expression)
        else:
            findings.append(
                Finding(
                    severity="error",
                    object=ref_of(object_),
                    field=f"{field}[{index}].cel",
                    reason="InvalidCost",
                    message=f"{problem}; this cost is left out until that is mended",
                )
            )
    return Costs(tuple(by_key.values()), tuple(findings))
