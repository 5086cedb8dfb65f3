"""The HTTP service: artifacts in, answers out."""
