"""Push keys: shown once, stored as their hash, compared in constant time."""

import hashlib
import hmac
import re
import secrets
from typing import Final

from sluice.contracts.camera import Camera

KEY: Final = re.compile(r"[A-Za-z0-9_.~-]{8,128}", re.ASCII)
"""What stands in a URL's path and query, and in a header, as it is."""
EXPECTED: Final = "8 to 128 of A-Z a-z 0-9 _ . ~ -"
_BYTES: Final = 24


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def checked_key(key: str) -> str:
    """Return *key* if a camera can show it in a URL, else raise ValueError, which does not repeat it."""
    if not KEY.fullmatch(key):
        raise ValueError(EXPECTED)
    return key


def hashed_key(key: str) -> str:
    """What is stored of a key. Unsalted, as keys are random: nobody has a table of them."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def key_fits(camera: Camera, key: str) -> bool:
    """True if *key* lets the camera push; takes as long for a camera that may not push at all."""
    return hmac.compare_digest(hashed_key(key), camera.push_key.ljust(64))
