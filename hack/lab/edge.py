"""The lab's way in, a process on the host: load balancer addresses for Services, and ports of the host for those.

    python -m hack.lab.edge        (started by `up`, ends with it)

Services of type LoadBalancer get an address of 10.97.0.0/16, and kube-proxy does the rest. A socket belongs to
the network namespace in which it was made: this process listens in the host's and connects in the lab's. Ports of the
host are free ones on loopback; `forwards.json` says which.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Any, Final

import httpx

from filters.contract import jsonlib
from hack.lab import control_plane, folders
from hack.lab.machine import Machine

_NETWORK: Final = 0x40000000
"""CLONE_NEWNET"""
_CHUNK: Final = 256 * 1024
_libc = ctypes.CDLL(None, use_errno=True)
_events = jsonlib.decoder(dict[str, Any])


class Namespaces:
    """Switches this (single) thread between the host's network and the lab's."""

    def __init__(self, pid: int) -> None:
        self._host = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._lab = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        _enter(self._lab)

    @contextlib.contextmanager
    def host(self) -> Iterator[None]:
        _enter(self._host)
        try:
            yield
        finally:
            _enter(self._lab)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


class Forwards:
    """Ports of the host, each to one address of the lab."""

    def __init__(self, namespaces: Namespaces, state: folders.State) -> None:
        self._namespaces = namespaces
        self._state = state
        self._open: dict[str, tuple[str, asyncio.Server]] = {}

    async def set(self, wanted: dict[str, tuple[str, int]]) -> None:
        """Name → address in the lab. What is not named is closed."""
        for name in [name for name in self._open if name not in wanted]:
            self._open.pop(name)[1].close()
        for name, address in wanted.items():
            if name not in self._open:
                self._open[name] = await self._listen(address)
        content = jsonlib.encode({name: place for name, (place, _) in sorted(self._open.items())})
        temporary = self._state.forwards.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.rename(self._state.forwards)

    async def _listen(self, address: tuple[str, int]) -> tuple[str, asyncio.Server]:
        with self._namespaces.host():
            listener = socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                up_reader, up_writer = await asyncio.open_connection(*address)
            except OSError:
                writer.transport.abort()
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, up_writer))
                group.create_task(_copy(up_reader, writer))

        return f"{host}:{port}", await asyncio.start_server(serve, sock=listener)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, and its end; a reset ends both."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


class Balancer:
    """Watches Services; gives addresses, and tells `Forwards` what there is."""

    def __init__(self, client: httpx.AsyncClient, forwards: Forwards) -> None:
        self._client = client
        self._forwards = forwards
        self._given: dict[str, str] = {}
        """uid → address"""
        self._services: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (httpx.HTTPError, ValueError, KeyError) as exc:
                print(f"again: {exc!r}", file=sys.stderr, flush=True)
                await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        listed = (await self._client.get("/api/v1/services")).raise_for_status().json()
        self._services = {each["metadata"]["uid"]: each for each in listed["items"]}
        await self._settle()
        query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "300"}
        async with self._client.stream("GET", "/api/v1/services", params=query, timeout=330) as stream:
            async for line in stream.aiter_lines():
                event = _events(line.encode())
                service = event["object"]
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._services[service["metadata"]["uid"]] = service
                elif event["type"] == "DELETED":
                    self._services.pop(service["metadata"]["uid"], None)
                else:
                    return
                await self._settle()

    async def _settle(self) -> None:
        balanced = {uid: each for uid, each in self._services.items() if each["spec"].get("type") == "LoadBalancer"}
        known = {uid: ingress[0]["ip"] for uid, each in balanced.items() if (ingress := _ingress(each))}
        self._given = {uid: address for uid, address in (self._given | known).items() if uid in balanced}
        wanted = {"kube-apiserver": ("127.0.0.1", control_plane.PORT)}
        for uid, service in balanced.items():
            address = await self._address(uid, service)
            name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
            for port in service["spec"]["ports"]:
                if port.get("protocol", "TCP") == "TCP":
                    wanted[f"{name}:{port['port']}"] = (address, port["port"])
        await self._forwards.set(wanted)

    async def _address(self, uid: str, service: dict[str, Any]) -> str:
        asked = service["spec"].get("loadBalancerIP")
        if _ingress(service):
            return self._given[uid]
        if uid not in self._given:
            taken = set(self._given.values())
            free = (f"10.97.{number >> 8}.{number & 255}" for number in itertools.count(10))
            self._given[uid] = asked or next(address for address in free if address not in taken)
        meta = service["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        patch = {"status": {"loadBalancer": {"ingress": [{"ip": self._given[uid]}]}}}
        headers = {"content-type": "application/merge-patch+json"}
        answer = await self._client.patch(path, content=jsonlib.encode(patch), headers=headers)
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()
        return self._given[uid]


def _ingress(service: dict[str, Any]) -> list[dict[str, Any]]:
    return service.get("status", {}).get("loadBalancer", {}).get("ingress") or []


async def _run() -> None:
    state = folders.state()
    pid = Machine(state).pid
    if pid is None:
        sys.exit("the lab is not up")
    folder = state.certificates
    trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    trusted.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    forwards = Forwards(Namespaces(pid), state)
    async with httpx.AsyncClient(base_url=control_plane.SERVER, verify=trusted, trust_env=False) as client:
        ended = asyncio.create_task(_end_with(pid))
        balancer = asyncio.create_task(Balancer(client, forwards).run())
        await asyncio.wait((ended, balancer), return_when=asyncio.FIRST_COMPLETED)
        balancer.cancel()


async def _end_with(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_run())
