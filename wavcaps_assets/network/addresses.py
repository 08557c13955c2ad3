"""Connections to public addresses only, each with a deadline.

A crawled link or a redirect may name any host, and a host name may resolve to any address. The address
is therefore checked when the connection is made, and the connection uses the checked address: a name
that resolves to another address a moment later (DNS rebinding) has no effect.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from wavcaps_assets.network.errors import AddressNotAllowed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Carries an IPv4 address in its last 32 bits (RFC 6052).
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Deadline(threading.local):
    """The time by which this thread's transfer must end."""

    until: float | None = None

    def set(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds

    def within(self, timeout: float | None) -> float | None:
        """A timeout (s), limited to the time that is left.

        Raises:
            httpcore.ReadTimeout: no time is left.
        """
        if self.until is None:
            return timeout
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the transfer as a whole takes too long")
        return left if timeout is None else min(timeout, left)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to public addresses, and to the listed private hosts.

    Args:
        private_hosts: `host:port` of servers that may have any address.
        deadline: limits all waiting on the connections.
    """

    def __init__(self, private_hosts: frozenset[str], deadline: Deadline) -> None:
        self._private_hosts = private_hosts
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, self._deadline.within(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return DeadlineStream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host!r} has no address: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if f"{host}:{port}" not in self._private_hosts:
            for address in addresses:
                if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                    raise AddressNotAllowed(
                        f"{host}:{port} is at {address}, which is not a public address; list your own "
                        "servers in WAVCAPS_NETWORK__PRIVATE_HOSTS"
                    )
        return addresses


class DeadlineStream(httpcore.NetworkStream):
    """A connection on which a thread waits no longer than its deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.within(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.within(timeout))
        return DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_public(address: Address) -> bool:
    """Whether an address is public. An IPv6 address that embeds an IPv4 address is as public as that."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if not all(is_public(inner) for inner in embedded if inner is not None):
            return False
        if address.ipv4_mapped is not None or address in NAT64:
            return True
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
