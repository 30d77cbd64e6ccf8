"""What in a config or in annotations would break the quota, and the fix."""
