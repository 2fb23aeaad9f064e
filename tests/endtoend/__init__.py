"""What a user of a running system sees, wherever it runs."""
