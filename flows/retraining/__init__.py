"""What scheduled retraining is made of: the registry of models, the decision, what is kept."""
