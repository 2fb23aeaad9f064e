"""How often one address may show a wrong key."""

import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from sluice.errors import SluiceError

MOST: Final = 20
WITHIN_S: Final = 60.0
_REMEMBERED: Final = 4096
_K = TypeVar("_K")
_V = TypeVar("_V")
_NETWORK: Final = 64
"""Whoever has one address of IPv6 has all of these."""


@dataclass
class GuessesError(SluiceError):
    """Raised when an address has shown too many wrong keys."""

    retry_s: int

    def __str__(self) -> str:
        return f"too many wrong keys from this address; come again in {self.retry_s} s"


class Guesses:
    """One for all doors of a process; bounded however many addresses come.

    A key that was right before is asked for even so: behind a proxy all cameras have one address, and whoever guesses
    there must not keep those out.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When the first of these was shown, and how many."""
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def admits(self, peer: str, camera: str, key: str, admit: Callable[[str, str], bool]) -> bool:
        """What *admit* says of camera and key; raises GuessesError instead of asking it."""
        address, now = _address(peer), self._now()
        since, count = self._wrong.get(address, (now, 0))
        if now - since >= WITHIN_S:
            since, count = now, 0
        known = hashlib.sha256(f"{camera}\0{key}".encode("utf-8", "surrogateescape")).digest()
        if count >= MOST and known not in self._right:
            raise GuessesError(retry_s=max(1, round(since + WITHIN_S - now)))
        if admit(camera, key):
            _remember(self._right, known, None)
            return True
        self._right.pop(known, None)
        _remember(self._wrong, address, (since, count + 1))
        return False


def _remember(table: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > _REMEMBERED:
        table.popitem(last=False)


def _address(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, _NETWORK), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
