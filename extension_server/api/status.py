"""`status` of our kinds: conditions. Written by the controller, never read from a file (`base.parse` leaves it out)."""

from typing import Annotated, Literal

from pydantic import Field

from extension_server.api.base import DateTime, Int64, ListKey, Model

REASON_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
CONDITION_TYPE_PATTERN = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


class Condition(Model):
    """Kubernetes' metav1.Condition."""

    type: Annotated[str, Field(max_length=316, pattern=CONDITION_TYPE_PATTERN)]
    status: Literal["True", "False", "Unknown"]
    observed_generation: Annotated[Int64, Field(ge=0)] | None = None
    """`metadata.generation` that the condition is about."""
    last_transition_time: DateTime
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=REASON_PATTERN)]
    message: Annotated[str, Field(max_length=32768)]


class Status(Model):
    """What the controller found."""

    conditions: tuple[Condition, ...] = ()


class GatewayConfigStatus(Model):
    """What the controller found."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=8), ListKey("type")] = ()
