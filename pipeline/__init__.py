"""What work there is: one graph for a run, a study, a retraining and a single step."""
