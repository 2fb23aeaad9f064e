"""Events that could not be delivered, as they lie on their stream: listed, shown, sent again."""

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from sluice.errors import UnavailableError
from sluice.local.knative.broker import connect
from sluice.local.knative.wire import CloudEvent, from_http, to_headers
from sluice.topology import DEADLETTERS

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
        event = letter.event.without(*ERRORS)
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.post(broker, data=event.data, headers=to_headers(event)) as answer,
            ):
                if answer.status != 202:
                    raise UnavailableError(broker, f"answered {answer.status} {(await answer.text())[:200]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(broker, repr(error)) from error
        await self._jetstream.delete_msg(DEADLETTERS.name, letter.number)


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
