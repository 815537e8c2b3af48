"""All replicas have one key."""

import base64

import pytest

from extension_server.controller import token_key
from extension_server.controller.client import ApiError
from extension_server.controller.token_key import SECRET, SECRETS, BadTokenKey
from tests.support.fake_api import FakeApi


async def test_the_first_makes_it_and_the_others_read_it() -> None:
    api = FakeApi()
    key = await token_key.get_or_create(api, "ns")
    assert len(key) == 32
    assert await token_key.get_or_create(api, "ns") == key


async def test_who_comes_second_by_a_moment_reads_it_too() -> None:
    api = FakeApi()
    made = b"x" * 32

    def fail(verb: str) -> ApiError | None:
        if verb == "create":
            api.put(SECRETS, "ns", SECRET, data={"key": base64.b64encode(made).decode()})
        return None

    api.fail = fail
    assert await token_key.get_or_create(api, "ns") == made


@pytest.mark.parametrize("data", [{}, {"key": "%%%"}, {"key": base64.b64encode(b"short").decode()}, None])
async def test_a_secret_without_a_key_is_told(data: object) -> None:
    api = FakeApi()
    api.put(SECRETS, "ns", SECRET, data=data)
    with pytest.raises(BadTokenKey, match="does not hold 32 bytes under 'key'; delete it, a new one is made"):
        await token_key.get_or_create(api, "ns")
