"""One module, no servers."""
