"""A run, of one fold or of all: its work, what is said of it, and the run behind `finetune`."""
