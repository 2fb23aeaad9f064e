"""What `make soak` watches for hours."""
