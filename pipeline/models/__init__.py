"""Trained models that people use: scored, registered, published."""
