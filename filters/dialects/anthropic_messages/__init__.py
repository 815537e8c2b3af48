"""Anthropic's Messages API as a wire format: the request that is sent, the message and the stream that come back."""
