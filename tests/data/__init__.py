"""What tests read."""
