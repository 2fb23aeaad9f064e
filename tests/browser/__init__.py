"""The watch page and other players, on a running line."""
