"""One folder is one verb is one Knative Service."""
