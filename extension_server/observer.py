"""What the hooks see, told to the controller. Hooks are served before there is one: what they turn away until then is
told as soon as there is.
"""

from extension_server.compile.result import ObjectRef
from extension_server.controller.reconcile import Controller
from extension_server.hooks.observation import Observation


class Observer:
    """A sink of the hooks (`hooks.observation.Sink`)."""

    def __init__(self) -> None:
        self._controller: Controller | None = None
        self._early: set[ObjectRef] = set()

    def start(self, controller: Controller) -> None:
        self._controller = controller
        for gateway in self._early:
            controller.unanswered(gateway)

    def runs(self, gateway: ObjectRef, config_hash: str) -> bool:
        return self._controller is None or self._controller.is_run(gateway, config_hash)

    def turned_away(self, gateway: ObjectRef, again: float) -> None:
        if self._controller is None:
            self._early.add(gateway)
        elif again:
            self._controller.translate_again(gateway, again)
        else:
            self._controller.unanswered(gateway)

    def observe(self, observation: Observation) -> None:
        if self._controller is None:
            return
        # Without a compiled result, nobody can tell which filter is before and which behind ours.
        seen = observation.user_filters if observation.config_hash else None
        self._controller.observed(observation.gateway, seen, observation.findings)
        if not observation.known:
            self._controller.unanswered(observation.gateway)
        elif observation.behind:
            self._controller.behind(observation.gateway)
        self._controller.translate_again(observation.gateway, observation.again)
