"""Folders of a bucket: there are none, but the slashes in keys make some."""

from collections.abc import Iterator

from sluice.store import ObjectStore


def folders(store: ObjectStore, parent: str) -> Iterator[str]:
    """The folders in *parent*, without reading what is in them: a listing begins behind the last one."""
    after = ""
    while first := next(iter(store.list(parent, after=after)), None):
        folder, slash, _ = first.key.removeprefix(parent).partition("/")
        # The character after the slash in ASCII is 0: nothing of this folder sorts behind <folder>0.
        after = f"{parent}{folder}0" if slash else first.key
        if slash:
            yield f"{parent}{folder}/"
