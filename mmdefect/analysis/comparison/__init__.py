"""Samplers compared: the same training, with images drawn another way."""

PLAIN = ('stock', 'class_balanced', 'class_aware', 'weighted')
OURS = ('quota', 'quota_unpreserved', 'quota_schedule')
# What is shown where nothing else is asked for.
MAIN = ('defect/auroc', 'defect/escape_at_5', 'coco/bbox_mAP_50')


def name_of(sampler: str, share: float) -> str:
    """What a run with a part of the defect images is called."""
    return sampler if share == 1 else f'{sampler}@{share:g}'


def split_name(name: str) -> tuple:
    """The sampler of a run's name, and its share of the defect images."""
    sampler, _, share = name.partition('@')
    return sampler, float(share or 1)
