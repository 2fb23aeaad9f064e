"""Something happened: an event goes to the right function."""
