"""Uploaders are stepped when they are due, each by one thread at a time, and none in another's way."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from segmenter.fleet.uploads import Uploads
from tests.services.line import eventually

LONG_S = 10.0


@dataclass(slots=True, kw_only=True, eq=False)
class Scripted:
    """Answers step by step what it was told; `gates` hold the steps of these numbers until they are opened."""

    answers: list[float | Exception | None] = field(default_factory=list)
    gates: dict[int, threading.Event] = field(default_factory=dict)
    steps: int = 0
    inside: int = 0
    most_inside: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def step(self) -> float | None:
        """See Steps.step."""
        with self.changed:
            number = self.steps
            self.steps += 1
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.changed.notify_all()
        if number in self.gates:
            assert self.gates[number].wait(LONG_S)
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()
            answer = self.answers[number] if number < len(self.answers) else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait_for(self, steps: int) -> None:
        """Until so many have begun."""
        self.until(lambda: self.steps >= steps)

    def rest(self, steps: int) -> None:
        """Until so many have ended."""
        self.until(lambda: self.steps >= steps and not self.inside)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition with a deadline."""
        with self.changed:
            assert self.changed.wait_for(holds, LONG_S), f"{self.steps} steps, {self.inside} in it"


@pytest.fixture
def uploads() -> Uploads:
    """With two threads."""
    return Uploads(threads=2)


def test_it_is_stepped_until_there_is_nothing_to_do(uploads: Uploads) -> None:
    """0 is: at once again; None is: when woken."""
    gate = Scripted(answers=[0.0, 0.0, None])

    uploads.add("gate", gate)
    gate.rest(3)
    uploads.wake("gate")

    gate.rest(4)


def test_those_that_are_due_first_come_first() -> None:
    """One thread: the order is that of the times, whatever the order of adding."""
    order: list[str] = []
    held, done = threading.Event(), threading.Event()
    now = [0.0]
    uploads = Uploads(threads=1, now=lambda: now[0])

    class Noted:
        def __init__(self, name: str, first_s: float) -> None:
            self.name, self.first_s, self.steps = name, first_s, 0

        def step(self) -> float | None:
            self.steps += 1
            if self.steps == 1:
                return self.first_s
            order.append(self.name)
            if len(order) == 3:
                done.set()
            return None

    holding = Scripted(answers=[None], gates={0: held})
    uploads.add("holding", holding)
    holding.wait_for(1)
    for name, first_s in (("late", 0.03), ("early", 0.01), ("middle", 0.02)):
        uploads.add(name, Noted(name, first_s))
    held.set()
    entries = uploads._entries
    eventually("each waits", lambda: all((entries[name].due or 0) > 0 for name in ("late", "early", "middle")))
    now[0] = 1.0

    assert done.wait(LONG_S)
    assert order == ["early", "middle", "late"]


def test_one_thread_at_a_time_steps_an_uploader(uploads: Uploads) -> None:
    """It has no lock of its own; the other thread serves others meanwhile."""
    held = threading.Event()
    slow, other = Scripted(gates={0: held}), Scripted()
    uploads.add("slow", slow)
    slow.wait_for(1)

    for _ in range(5):
        uploads.wake("slow")
    uploads.add("other", other)
    other.rest(1)
    held.set()
    slow.rest(2)

    assert slow.most_inside == 1


@pytest.mark.parametrize("answer", [None, 3600.0])
def test_what_comes_during_a_step_is_not_forgotten(uploads: Uploads, answer: float | None) -> None:
    """The step had looked already: it is stepped again, even if it asked for an hour's rest."""
    held = threading.Event()
    gate = Scripted(answers=[answer], gates={0: held})
    uploads.add("gate", gate)
    gate.wait_for(1)

    uploads.wake("gate")
    held.set()

    gate.rest(2)


def test_waking_ends_a_long_rest(uploads: Uploads) -> None:
    """A checkpoint is due in an hour; a chunk is due now."""
    gate = Scripted(answers=[3600.0])
    uploads.add("gate", gate)
    gate.rest(1)

    uploads.wake("gate")

    gate.rest(2)


def test_removing_waits_for_the_step_that_runs(uploads: Uploads) -> None:
    """Its spool is closed next; nothing may use it any longer."""
    held = threading.Event()
    gate = Scripted(answers=[0.0] * 1000, gates={0: held})
    uploads.add("gate", gate)
    gate.wait_for(1)
    removing = threading.Thread(target=uploads.remove, args=["gate"])
    removing.start()
    eventually("it is asked for", lambda: "gate" not in uploads._entries)

    assert removing.is_alive()
    held.set()
    removing.join(LONG_S)

    assert not removing.is_alive()
    assert (gate.steps, gate.inside) == (1, 0)


def test_a_bug_of_one_does_not_stop_the_others() -> None:
    """One thread, and it survives."""
    uploads = Uploads(threads=1)
    broken, sound = Scripted(answers=[ValueError("a bug")] * 9), Scripted(answers=[0.0, None])

    uploads.add("broken", broken)
    broken.wait_for(1)
    uploads.add("sound", sound)

    sound.rest(2)
    assert broken.steps == 1


def test_an_uploader_that_is_replaced_is_stepped_no_more(uploads: Uploads) -> None:
    """A camera that was removed and added at once has a new one under its name."""
    held = threading.Event()
    former, latter = Scripted(answers=[0.0] * 9, gates={0: held}), Scripted()
    uploads.add("gate", former)
    former.wait_for(1)
    uploads.add("gate", latter)
    latter.rest(1)

    held.set()
    former.rest(1)
    uploads.wake("gate")
    latter.rest(2)

    assert former.steps == 1
