"""Knative on one machine: Brokers, Triggers, functions from zero, PingSources. What to hold against the real one."""
