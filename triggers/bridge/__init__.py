"""Bucket notifications become CloudEvents, and CloudEvents reach the Broker."""
