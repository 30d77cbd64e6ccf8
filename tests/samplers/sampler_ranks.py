"""Builds samplers that differ between two ranks, under torchrun: ``FILE`` prefix.

Rank r writes to ``<FILE><r>.json`` what it was told in each case: type and text of the
error, or the seed, and the seconds it took.
"""

import json
import sys
import time
from datetime import timedelta

import torch.distributed as dist
from conftest import Annotated

from mmdefect import DefectPoolSampler, QuotaBatchSampler

IMAGES = [[0] if n % 10 == 0 else [] for n in range(100)]
OTHERS = [[0] if n % 10 == 5 else [] for n in range(100)]
SAME = dict(images=IMAGES, seed=7, batch_size=8, quota=2)
# What is otherwise on rank 1.
CASES = {
    'images': dict(images=IMAGES + [[]] * 20),
    'pools': dict(images=OTHERS),
    'classes': dict(defect_classes=['crack']),
    'seed': dict(seed=8),
    'no seed': dict(seed=None),
    'quota': dict(quota=3),
    'batch size': dict(batch_size=7),
    'drop_last': dict(drop_last=False),
    'num_batches': dict(num_batches=5),
    'infinite': dict(infinite=True),
    'over': dict(over=8),
    'replacement': dict(replacement=False),
    'weights': dict(weights=lambda info: 1 + len(info['instances'])),
    'no defects': dict(images=[[]] * 100),
    'bad seed': dict(seed=-1),
    'bad quota': dict(quota=99),
    'bad flag': dict(drop_last='no'),
    'unknown argument of the sampler': dict(defects=['dent']),
    'unknown argument of the batch sampler': dict(droplast=True),
    'argument that is missing': dict(missing=True),
}


def build(images, seed, batch_size, quota, missing=False, **options):
    plan = ('over', 'drop_last', 'num_batches', 'infinite', 'droplast')
    ours = {key: options.pop(key) for key in plan if key in options}
    sampler = DefectPoolSampler(Annotated(images), seed=seed, **options)
    return QuotaBatchSampler(sampler, batch_size, *([] if missing else [quota]), **ours)


if __name__ == '__main__':
    dist.init_process_group('gloo', timeout=timedelta(seconds=60))
    told = {}
    for name, differs in CASES.items():
        begin = time.perf_counter()
        try:
            build(**{**SAME, **(differs if dist.get_rank() else {})})
            error = ('nothing', '')
        except Exception as caught:
            error = (type(caught).__name__, str(caught))
        told[name] = (*error, time.perf_counter() - begin)
    # And after all that, the ranks still understand each other.
    batches = build(**{**SAME, 'seed': None})
    told['agreed seed'] = (batches.sampler.seed, next(iter(batches)), 0)
    # One that is built in mid-training draws a seed of its own.
    batches.start_at(1, 2)
    anew = build(**{**SAME, 'seed': None})
    drawn = anew.sampler.seed
    anew.take_over(batches)
    told['taken over'] = (drawn, next(iter(anew)), next(iter(batches)))
    with open(f'{sys.argv[1]}{dist.get_rank()}.json', 'w') as file:
        json.dump(told, file)
    dist.destroy_process_group()
