"""Says when it is imported."""

print("imported", flush=True)
