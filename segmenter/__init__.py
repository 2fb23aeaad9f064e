"""A camera becomes chunks in the bucket."""
