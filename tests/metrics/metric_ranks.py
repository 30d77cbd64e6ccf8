"""Evaluates on two ranks under torchrun: ``metric_ranks.py DIRECTORY``."""

import json
import sys

import torch.distributed
from mmengine.dataset import DefaultSampler
from test_defect_image_metric import SCENES, metric

if __name__ == '__main__':
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    evaluation = metric()
    # An odd number of images: the sampler gives the last rank one a second time.
    for index in DefaultSampler(SCENES, shuffle=False):
        evaluation.process(None, [SCENES[index]])
    with open(f'{sys.argv[1]}/{rank}.json', 'w') as file:
        json.dump([len(evaluation.results), evaluation.evaluate(len(SCENES))], file)
    torch.distributed.destroy_process_group()
