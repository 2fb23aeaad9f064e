"""`sluice play`: links that one token of one camera opens, for a day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice import tokens
from sluice.cli.play import LIFETIME, gateway_url, links
from sluice.errors import SluiceError
from sluice.testing.store import MemoryStore
from sluice.tokens import TokenBook


def test_the_links_are_of_one_camera_and_end() -> None:
    """Whoever is given one sees nothing else."""
    store = MemoryStore()

    found = links(store, "http://gateway.example", "gate")

    secret = found["hls"].split("/")[4]
    token = TokenBook(store).find(secret)
    assert found == {
        "watch": f"http://gateway.example/t/{secret}/watch/gate",
        "hls": f"http://gateway.example/t/{secret}/hls/gate/index.m3u8",
    }
    assert token is not None
    assert (token.role, token.cameras) == ("viewer", ("gate",))
    assert token.expires is not None
    assert token.expires <= datetime.now(UTC) + LIFETIME


def test_links_that_have_ended_leave_no_token_behind() -> None:
    """Made by the command and expired: gone at the next; what somebody made by hand stays."""
    store = MemoryStore()
    over = timedelta(seconds=-1)
    tokens.create(store, cameras=["gate"], lifetime=over, note="sluice play gate")
    _, by_hand = tokens.create(store, cameras=["gate"], lifetime=over, note="wall")

    links(store, "http://gateway.example", "gate")
    links(store, "http://gateway.example", "gate")

    kept = tokens.load_all(store)[0]
    assert [token.note for token in kept] == ["wall", "sluice play gate", "sluice play gate"]
    assert by_hand in kept


def test_the_gateway_of_a_cluster_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a runtime and without a name there is none, and one sentence says so."""
    monkeypatch.delenv("SLUICE_GATEWAY_URL", raising=False)
    with pytest.raises(SluiceError, match="SLUICE_GATEWAY_URL names none"):
        gateway_url(tmp_path)

    monkeypatch.setenv("SLUICE_GATEWAY_URL", "https://gateway.example/")

    assert gateway_url(tmp_path) == "https://gateway.example"
