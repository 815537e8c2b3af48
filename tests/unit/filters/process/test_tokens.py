"""Unguessable texts."""

from filters.process.tokens import Tokens


def test_no_two_are_the_same() -> None:
    one, two = Tokens(), Tokens()
    texts = [tokens() for tokens in (one, two) for _ in range(1000)]
    assert len(set(texts)) == 2000
    assert all(len(text) == 24 and text.isalnum() for text in texts)
