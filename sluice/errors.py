"""What can go wrong, and what the sender of an event is told.

SluiceError
├── InvalidEventError       400  not an event of this contract: the sender is at fault
├── UnusableInputError      200  a good event about hopeless input: answered with input.rejected
├── UnavailableError        503  may work later: the Broker tries again
├── StoreError
│   ├── ObjectNotFoundError      no object has this key
│   └── ConflictError            a conditional write lost: somebody else wrote first
├── InvalidNameError             a key, subject or id that no part of Sluice made
└── SettingsError         exit 1  the process cannot start; every problem is listed

Anything else is a bug: 500, tried again by the Broker, then dead-lettered.
"""

from dataclasses import dataclass


class SluiceError(Exception):
    """Base of every error that Sluice raises on purpose."""


@dataclass
class InvalidEventError(SluiceError):
    """Raised when a request or message is not an event of the contract it claims."""

    expected: str
    found: str
    where: str = "event"

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


@dataclass
class UnusableInputError(SluiceError):
    """Raised when an event is well formed, but what it points to can never be used."""

    expected: str
    found: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


@dataclass
class UnavailableError(SluiceError):
    """Raised when a service does not answer now, but may later."""

    service: str
    reason: str

    def __str__(self) -> str:
        return f"{self.service} is unavailable: {self.reason}"


class StoreError(SluiceError):
    """Base of what an object store answers besides success."""


@dataclass
class ObjectNotFoundError(StoreError):
    """Raised when no object has this key."""

    key: str

    def __str__(self) -> str:
        return f"no object {self.key!r}"


@dataclass
class ConflictError(StoreError):
    """Raised when a conditional write finds another state than the caller has seen."""

    key: str
    expected: str

    def __str__(self) -> str:
        return f"object {self.key!r} changed meanwhile: expected {self.expected}"


@dataclass
class InvalidNameError(SluiceError):
    """Raised when a name cannot be parsed; nothing of ours renders such a name."""

    kind: str
    name: str
    expected: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name[:200]!r}: expected {self.expected}"


@dataclass
class SettingsError(SluiceError):
    """Raised when a process cannot start; lists every problem, not the first."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "cannot start: " + "; ".join(self.problems)
