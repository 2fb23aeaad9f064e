"""What the sweeper can be told from outside."""

from dataclasses import dataclass

from sluice.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """Of the function."""

    triggers: str = setting(
        "SLUICE_TRIGGERS", "folder of the Trigger manifests, or several as in PATH", "/etc/sluice/triggers"
    )
