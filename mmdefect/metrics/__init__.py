"""What a factory asks of a detector."""
