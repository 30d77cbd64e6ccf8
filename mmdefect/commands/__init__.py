"""What a person types: one module a command, and beside them what they share."""
