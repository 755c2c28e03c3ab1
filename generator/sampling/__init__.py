"""Images from a trained generator: the stage, chosen seeds, sheets, films."""
