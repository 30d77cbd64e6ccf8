"""What a config, a run or a comparison comes to, for commands and for notebooks."""
