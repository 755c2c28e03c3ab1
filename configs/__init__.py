"""The settings of every stage as Pydantic models, YAML loading, the shipped YAML files."""
