"""Samplers compared: the same training, with images drawn another way."""

PLAIN = ('stock', 'class_balanced', 'class_aware', 'weighted')
OURS = ('quota', 'quota_unpreserved', 'quota_schedule')
# What is shown where nothing else is asked for.
MAIN = ('defect/auroc', 'defect/escape_at_5', 'coco/bbox_mAP_50')
