"""What a study may conclude: seeds and images both as samples."""
