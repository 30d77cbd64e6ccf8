"""What reaches the model: a drawn defect is not lost to augmentation."""
