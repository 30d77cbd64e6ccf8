"""The two classes that ``train_dataloader`` of a config names."""
