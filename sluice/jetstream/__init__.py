"""NATS JetStream behind the Bus port; imported at the first call, as nats-py costs a cold start 0.1 s."""
