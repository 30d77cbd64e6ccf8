"""What a checkpoint does not bring is in the log, and a useless one is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.hooks.pretrained import tell_what_fits


def model(classes=3):
    return nn.ModuleDict(
        dict(
            backbone=nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
            head=nn.Linear(4, classes),
        )
    )


def test_a_checkpoint_that_fits_is_not_worth_a_word(log):
    weights = model().state_dict()
    # of before batch norms counted, and of several GPUs
    del weights['backbone.1.num_batches_tracked']
    weights = {f'module.{name}': value for name, value in weights.items()}
    tell_what_fits(model(), dict(meta={}, state_dict=weights), 'coco.pth')
    assert log == []


def test_whoever_reads_the_log_knows_what_began_at_random(log):
    weights = model(classes=80).state_dict()
    del weights['backbone.0.bias']
    tell_what_fits(model(), weights, 'coco.pth')
    assert log == [
        '5 of 8 weights come from coco.pth. Of another shape, as with other classes: '
        'head.weight, head.bias. Not in it: backbone.0.bias.'
    ]


@pytest.mark.parametrize(
    'weights', [{'encoder.weight': torch.zeros(3)}, {}], ids=['another', 'none']
)
def test_a_checkpoint_of_another_detector_is_no_start(weights):
    said = r"load_from='x\.pth' has no weight.*such as backbone\.0\.weight, got"
    with pytest.raises(ValueError, match=said):
        tell_what_fits(model(), dict(state_dict=weights), 'x.pth')
