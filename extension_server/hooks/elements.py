"""One xDS resource of a hook message: bytes, decoded only when somebody looks, encoded only when something changed."""

from typing import Any, Final

from google.protobuf.message import DecodeError

from extension_server.hooks.shells import shell
from extension_server.xds import names, pool, wire
from extension_server.xds.pool import Message
from extension_server.xds.resources import served_configurations

_NAME_TAG: Final = b"\x0a"


def name_of(raw: bytes) -> str:
    """The name of a cluster, listener or route configuration: field 1, which Go writes first. Empty for bytes that have
    none and for bytes that are no message."""
    if raw[:1] == _NAME_TAG and len(raw) > 2:
        # Up to 127 bytes have a length of one byte.
        length = raw[1]
        if length < 128:
            return raw[2 : 2 + length].decode(errors="replace")
    try:
        return str(shell("Cluster").FromString(raw).name)
    except DecodeError:
        return ""


class Element:
    """`raw` as it came. `decode` gives the message to patch in place; `encode` gives what goes back."""

    __slots__ = ("_decoded", "_type", "raw")

    def __init__(self, raw: bytes, type_: str) -> None:
        self.raw = raw
        self._type = type_
        self._decoded: Any = None

    @property
    def name(self) -> str:
        """See `name_of`."""
        return name_of(self.raw)

    def decode(self) -> Message:
        """The same message at every call, until `restore`. Raises DecodeError."""
        if self._decoded is None:
            self._decoded = self._fresh()
        return self._decoded

    def decoded(self) -> Message | None:
        """`decode`, or None for bytes that are no such message."""
        try:
            return self.decode()
        except DecodeError:
            return None

    def restore(self) -> None:
        """Forgets every change."""
        self._decoded = None

    def encode(self) -> bytes:
        """`raw` itself when nothing changed: Envoy Gateway writes map keys in random order, we do not rewrite them."""
        if self._decoded is None:
            return self.raw
        encoded = pool.serialized(self._decoded)
        return self.raw if encoded == self.raw or self._fresh() == self._decoded else encoded

    def _fresh(self) -> Message:
        return pool.message_class(self._type).FromString(self.raw)


class ListenerElement(Element):
    """A listener, and which RouteConfigurations it asks for."""

    __slots__ = ("_served",)

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw, pool.LISTENER)
        self._served = self._configurations()

    def serves(self, configuration: str) -> bool:
        """Of a listener that cannot be read to the end, whether the name stands in it: rather too often than not."""
        if self._served is None:
            return wire.string(configuration) in self.raw
        return configuration in self._served

    def _configurations(self) -> frozenset[str] | None:
        if not names.serves_clients(self.name):
            return frozenset()
        try:
            return served_configurations(self.decode())
        except (DecodeError, KeyError):
            return None
