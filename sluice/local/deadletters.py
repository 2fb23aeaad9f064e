"""Events that could not be delivered, as they lie on their stream: listed, shown, sent again."""

import asyncio
import base64
import binascii
import http.client
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from sluice.errors import UnavailableError
from sluice.local.knative.connection import connect
from sluice.local.knative.wire import CloudEvent, from_http, to_headers
from sluice.topology import DEADLETTERS

POST_S: Final = 30.0
ERRORS: Final = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One of them; its number is its place on the stream."""

    number: int
    trigger: str
    event: CloudEvent

    @property
    def reason(self) -> str:
        """The answer to the last try, as far as Knative keeps it."""
        data = self.event.attributes.get("knativeerrordata", "")
        try:
            # Cut at 1024 characters, so the end may be missing.
            text = base64.b64decode(data[: len(data) // 4 * 4]).decode("utf-8", "replace")
        except (ValueError, binascii.Error):
            text = data
        return f"{self.event.attributes.get('knativeerrorcode', '?')} {text}".strip()


class DeadLetters:
    """The stream, with the rights of the administrator."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def all(self) -> AsyncIterator[DeadLetter]:
        """All that are there, oldest first."""
        number = 1
        while letter := await self._next(number):
            yield letter
            number = letter.number + 1

    async def get(self, number: int) -> DeadLetter:
        """One of them; raises UnavailableError when it is not there (any more)."""
        letter = await self._next(number)
        if letter is None or letter.number != number:
            raise UnavailableError(f"dead letter {number}", "not there; sluice deadletter list")
        return letter

    async def _next(self, number: int) -> DeadLetter | None:
        try:
            found = await self._jetstream.get_msg(DEADLETTERS.name, number, subject=DEADLETTERS.subjects[0], next=True)
        except NotFoundError:
            return None
        headers = {name.lower(): value for name, value in (found.headers or {}).items()}
        # The NATS binding has the data's type among the attributes, the HTTP binding in a header of its own.
        if kind := headers.pop("ce-datacontenttype", ""):
            headers["content-type"] = kind
        event = from_http(headers, found.data or b"")
        trigger = (found.subject or "").rpartition(".")[2]
        return DeadLetter(number=found.seq or 0, trigger=trigger, event=event)

    async def replay(self, letter: DeadLetter, broker: str) -> None:
        """Send it to the Broker again, and forget it once the Broker has it."""
        await asyncio.to_thread(_post, letter.event.without(*ERRORS), broker)
        await self._jetstream.delete_msg(DEADLETTERS.name, letter.number)


def _post(event: CloudEvent, broker: str) -> None:
    """By Python's own client: this command also runs where the local runtime's libraries are not, in the image."""
    headers = {"content-type": "application/octet-stream", **to_headers(event)}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(broker, data=event.data, headers=headers, method="POST")
        with opener.open(request, timeout=POST_S) as answer:
            status, text = answer.status, answer.read(200)
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read(200)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnavailableError(broker, repr(error)) from error
    if status != 202:
        raise UnavailableError(broker, f"answered {status} {text.decode('utf-8', 'replace')}")


@asynccontextmanager
async def opened(url: str, user: str, password: str) -> AsyncIterator[DeadLetters]:
    """Connected; raises UnavailableError for whatever NATS refuses."""
    try:
        client = await connect(url, user, password)
    except (NatsError, OSError, TimeoutError) as error:
        raise UnavailableError("NATS", repr(error)) from error
    try:
        yield DeadLetters(client.jetstream(timeout=5))
    except (NatsError, TimeoutError) as error:
        raise UnavailableError("NATS", repr(error)) from error
    finally:
        await client.close()
