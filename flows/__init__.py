"""Prefect: flows, tasks, runners; the server of a run, deployments, `serve`."""
