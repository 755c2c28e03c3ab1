"""Prefect flows and tasks, the report, and the command line. The only room that imports Prefect."""
