"""The local runtime: plays Knative on one machine with real servers, from the very manifests that a cluster gets."""
