"""The NATS server's configuration says who may do what."""

from pathlib import Path

import pytest

from sluice.local.nats import NatsUser, nats_config, nats_program

BRIDGE = NatsUser(name="bridge", password='p"w', publish=("sluice.v1.>",), subscribe=("_INBOX.bridge.>",))


def config(*users: NatsUser, monitor_port: int | None = None) -> str:
    return nats_config(port=4222, store=Path("/data"), users=users, monitor_port=monitor_port)


def test_what_is_acknowledged_is_on_disk() -> None:
    """The default leaves acknowledged messages unwritten for minutes."""
    text = config()

    assert "sync_interval: always" in text
    assert 'store_dir: "/data"' in text


def test_it_listens_on_loopback_only() -> None:
    """A laptop's server is nobody else's."""
    text = config(monitor_port=8222)

    assert 'listen: "127.0.0.1:4222"' in text
    assert 'http: "127.0.0.1:8222"' in text


def test_it_has_no_monitor_unless_asked() -> None:
    """What is not needed is not open."""
    assert "http" not in config()


def test_browsers_come_by_a_listener_of_its_own() -> None:
    """On loopback too, and only where it is asked for."""
    text = nats_config(port=4222, store=Path("/data"), users=(), websocket_port=8443)

    assert 'websocket {\n  listen: "127.0.0.1:8443"\n  no_tls: true\n}' in text
    assert "websocket" not in config()


def test_the_admin_has_all_rights() -> None:
    """No subjects given and the name admin: no permissions block at all."""
    text = config(NatsUser(name="admin", password="secret"))

    assert '{user: "admin", password: "secret"}' in text


def test_a_part_has_only_the_subjects_given() -> None:
    """Publish and subscribe are lists of what is allowed."""
    text = config(BRIDGE)

    assert 'permissions: {publish: {allow: ["sluice.v1.>"]}, subscribe: {allow: ["_INBOX.bridge.>"]}}' in text


@pytest.mark.parametrize("name", ["reader", "admin"])
def test_no_subjects_means_none(name: str) -> None:
    """The server takes an empty list for "everything", so it is written as a denial."""
    text = config(NatsUser(name=name, password="secret", subscribe=("_INBOX.reader.>",)))

    assert 'publish: {deny: [">"]}' in text


def test_a_password_cannot_leave_its_quotes() -> None:
    """Nor be shown by accident."""
    assert 'password: "p\\"w"' in config(BRIDGE)
    assert 'p"w' not in repr(BRIDGE)


def test_the_program_reads_that_configuration() -> None:
    """Everything is in the file, nothing in the command line that others can read."""
    program = nats_program(binary=Path("/bin/nats-server"), config=Path("/run/n.conf"), port=1, log=Path("/log"))

    assert program.command == ("/bin/nats-server", "--config", "/run/n.conf")
    assert not program.ready()
