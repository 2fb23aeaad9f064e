"""Posting to the Broker over connections that are kept: one for each worker, as many as post at once."""

import contextlib
import http.client
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sluice.errors import SettingsError, UnavailableError

SHOWN_BYTES: Final = 1024
"""As much of a refusal's body as goes into a dead letter, which is as much as Knative keeps."""
READ_BYTES: Final = 64 << 10
"""A longer answer is no broker's; its connection is closed instead of drained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the sink said."""

    status: int
    body: bytes


class Sink:
    """An address that takes events; may be used from many threads."""

    def __init__(self, url: str, *, certificates: str = "", timeout_s: float) -> None:
        where = urlsplit(url)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise SettingsError((f"K_SINK: expected http(s)://host[:port]/path, found {url!r}",))
        self.url = url
        self._secure = where.scheme == "https"
        self._host, self._port = where.hostname, where.port
        self._target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        self._timeout_s = timeout_s
        self._certificates = certificates
        self._idle: deque[Any] = deque()

    def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post one event; raises UnavailableError when no answer comes."""
        try:
            if self._idle:
                with contextlib.suppress(http.client.RemoteDisconnected, ConnectionError, IndexError):
                    # The other side closes what was idle for long; that says nothing about it now. The event's id
                    # makes a second delivery harmless.
                    return self._answer(self._idle.pop(), headers, body)
            return self._answer(self._connection(), headers, body)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError("broker", f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def _answer(self, connection: Any, headers: Mapping[str, str], body: bytes) -> Answer:
        whole = False
        try:
            connection.request("POST", self._target, body, dict(headers))
            response = connection.getresponse()
            said = response.read(READ_BYTES)
            whole = response.isclosed() and not response.will_close
            return Answer(status=response.status, body=said[:SHOWN_BYTES])
        finally:
            if whole:
                self._idle.append(connection)
            else:
                connection.close()

    def _connection(self) -> Any:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context(cadata=self._certificates or None)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
