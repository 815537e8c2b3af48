"""The seam between the gRPC server (`transport`, `server`) and those who know what a request means (`*_exchange`).

One exchange per gRPC stream. It is sans-IO and synchronous: messages in, replies out; clock and ids are handed to
whoever builds it. The server calls it on one thread, never re-entrantly.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from filters.extproc.messages import Message, Reply

CloseReason = Literal["end", "reset", "connection", "deadline", "error", "shutdown"]
"""end: Envoy half-closed, nothing is open. reset: Envoy reset the stream (its usual way to end one, at any time: the
client went away, or the answer is complete and Envoy is not configured to close gracefully). connection: the
connection is gone. deadline: the gRPC timeout passed. error: `on_message` raised, or the conversation broke the
protocol. shutdown: this process stopped waiting for the stream."""


class Exchange(Protocol):
    """One conversation about one request (listener level) or one attempt (upstream level)."""

    def on_message(self, message: Message) -> Sequence[Reply]:
        """The replies, in order; normally one. An empty sequence means that the reply comes with a later message.

        An exception ends this stream alone: an ImmediateReply 500 when the response has not begun, a gRPC error
        otherwise. It is logged by its type and place, never with its text.
        A single `Forward` sends the message to the process that owns it, and no other reply may come with it. The owner
        builds an exchange with the same initial metadata, and its replies are the answer.
        """
        ...

    def on_close(self, reason: CloseReason) -> None:
        """Called exactly once, after which nothing else is called."""
        ...


ExchangeFactory = Callable[[Mapping[str, str]], Exchange]
"""gRPC initial metadata (names lower case, no pseudo headers) → a new exchange"""
