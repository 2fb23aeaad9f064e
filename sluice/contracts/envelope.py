"""The envelope around a contract: a CloudEvent with the attributes that Sluice uses, typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[T_co]):
    """One event: a contract as its data, and what brokers and triggers read."""

    type: str
    id: str
    source: str
    """/cameras/<camera>/<part>."""
    subject: str
    """The camera."""
    time: datetime
    data: T_co
    extensions: Mapping[str, str] = field(default_factory=dict)
    """partitionkey, sequence, activity, attempt, traceparent and what others added."""
