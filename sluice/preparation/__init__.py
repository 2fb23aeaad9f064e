"""What `sluice init` does: secrets, buckets, users with least rights, notifications, streams; idempotent."""
