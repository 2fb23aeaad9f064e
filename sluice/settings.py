"""Settings: a frozen dataclass filled from the environment, with every problem named at once.

This is the only module that reads os.environ. A field is declared with `setting`, which carries the variable's name
and one sentence for docs/settings.md; its annotation (str, int, float, bool) decides how the text is read.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, cast

from sluice.errors import SettingsError

S = TypeVar("S")

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def setting(variable: str, about: str, default: object = MISSING, *, secret: bool = False) -> Any:
    """Declare a field that is read from *variable*; without a default it is required."""
    metadata = {"variable": variable, "about": about, "secret": secret}
    if default is MISSING:
        return field(metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def load(kind: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Fill *kind* from the environment; raises SettingsError with all that is missing or malformed."""
    source = os.environ if environ is None else environ
    values: dict[str, object] = {}
    problems: list[str] = []
    for each in fields(cast("Any", kind)):
        variable = each.metadata["variable"]
        text = source.get(variable, "")
        if text == "":
            if each.default is MISSING:
                problems.append(f"{variable} is not set: {each.metadata['about']}")
            continue
        try:
            values[each.name] = _read(text, each)
        except ValueError:
            shown = "a value (hidden)" if each.metadata["secret"] else repr(text)
            problems.append(f"{variable}: expected {_kind_name(each)}, found {shown}")
    if problems:
        raise SettingsError(tuple(problems))
    return kind(**values)


def load_all(*kinds: type[Any], environ: Mapping[str, str] | None = None) -> tuple[Any, ...]:
    """Fill each of *kinds*, in order; raises one SettingsError with the problems of all."""
    loaded: list[Any] = []
    problems: list[str] = []
    for kind in kinds:
        try:
            loaded.append(load(kind, environ))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(loaded)


def any_set(*variables: str) -> bool:
    """True: the environment says something for one of *variables*."""
    return any(os.environ.get(each) for each in variables)


def _kind_name(each: Field[Any]) -> str:
    return each.type if isinstance(each.type, str) else getattr(each.type, "__name__", str(each.type))


def _read(text: str, each: Field[Any]) -> object:
    match _kind_name(each):
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            if text.lower() not in (*_TRUE, *_FALSE):
                raise ValueError(text)
            return text.lower() in _TRUE
        case _:
            return text


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where the object store is, and who we are there."""

    url: str = setting("SLUICE_S3_URL", "object store, as http(s)://host:port")
    region: str = setting("SLUICE_S3_REGION", "region the store signs for", "us-east-1")
    bucket: str = setting("SLUICE_BUCKET", "bucket that holds everything", "sluice")
    access_key: str = setting("SLUICE_S3_ACCESS_KEY", "this part's user at the store")
    secret_key: str = setting("SLUICE_S3_SECRET_KEY", "its secret", secret=True)
    timeout_s: float = setting("SLUICE_S3_TIMEOUT_S", "longest wait for one answer of the store, in seconds", 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Where NATS is, and who we are there."""

    url: str = setting("SLUICE_NATS_URL", "NATS server, as nats://host:port")
    user: str = setting("SLUICE_NATS_USER", "this part's user at NATS", "")
    password: str = setting("SLUICE_NATS_PASSWORD", "its password", "", secret=True)
    timeout_s: float = setting("SLUICE_NATS_TIMEOUT_S", "longest wait for one answer of NATS, in seconds", 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """Where Triton is."""

    url: str = setting("SLUICE_TRITON_URL", "Triton's gRPC address, as host:port")
    timeout_s: float = setting("SLUICE_TRITON_TIMEOUT_S", "longest wait for one inference, in seconds", 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """How a function is served; PORT is given by the platform."""

    port: int = setting("PORT", "port to listen on; Knative and the local runtime set it", 8080)
    host: str = setting("SLUICE_HOST", "address to listen on; the local runtime sets 127.0.0.1", "0.0.0.0")  # noqa: S104 (a container listens on all its addresses)
    concurrency: int = setting(
        "SLUICE_CONCURRENCY", "events handled at once; equals the ksvc's containerConcurrency", 1
    )
    max_event_bytes: int = setting("SLUICE_MAX_EVENT_BYTES", "largest event body taken, in bytes", 1_048_576)
