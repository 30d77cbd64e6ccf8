"""What a ready config needs and no library has."""
