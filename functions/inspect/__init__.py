"""The camera doctor: looks at the first chunk of each session."""
