"""Is a port free?"""

import socket

import pytest

from aigw.standalone.ports import PortInUse, check_free, free_port


def test_a_free_port_is_free() -> None:
    check_free("127.0.0.1", free_port(), what="gateway", remedy="")


def test_a_taken_port_is_named_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for address in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(PortInUse, match=rf"port {port} \(gateway\) is in use: use --port"):
                check_free(address, port, what="gateway", remedy="use --port")
