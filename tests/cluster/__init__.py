"""What only a real cluster shows: `make test-cluster`."""
