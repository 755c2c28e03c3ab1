"""Processes that do one piece of work and die with the one that asked."""
