"""Prefect's server, worker and deployments on this machine."""
