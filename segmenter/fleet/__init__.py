"""The processes: a supervisor that knows every camera, and workers that read at most 16 each."""
