"""Where progress goes: the terminal or a log, JSON lines, TensorBoard."""
