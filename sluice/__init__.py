"""Shared by every part, and importing none of them: contracts, names, events, ports and their adapters."""
