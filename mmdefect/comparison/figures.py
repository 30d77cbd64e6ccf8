"""What a way to draw images does, without any training."""

from __future__ import annotations

import numpy as np
from mmengine.config import Config

from mmdefect.comparison.configs import kind, loader_to_draw_from
from mmdefect.hooks.schedule import QuotaScheduleHook
from mmdefect.pools.forms import shows_defect
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler


def draw_figures(
    cfg: Config, pools: dict, batches: int, one_pass: int, together: int
) -> dict:
    """Count what a sampler draws, without loading an image."""
    loader = loader_to_draw_from(cfg.train_dataloader, seed=0)
    batch_sampler = loader.batch_sampler
    for hook in cfg.custom_hooks:
        if kind(hook) == 'QuotaScheduleHook':
            QuotaScheduleHook(hook['milestones'], by_epoch=False).apply(batch_sampler)
    found = DefectPoolSampler(loader.dataset, **{**pools, 'seed': 0}).pools
    # An oversampled image has several indices, but one path.
    info = loader.dataset.get_data_info
    paths = [info(i).get('img_path', i) for i in range(len(loader.dataset))]
    image = np.unique(paths, return_inverse=True)[1]
    wanted = range(max(batches, one_pass, together))
    drawn = [batch for batch, _ in zip(batch_sampler, wanted)]
    whole = max(batches // together, 1) * together
    size, defects = len(image), found['defect']
    counts = np.array([shows_defect(size, b, defects).sum() for b in drawn[:whole]])
    counts = counts.reshape(-1, together).sum(axis=1)
    every = np.concatenate(drawn[:batches]) % size
    draws = np.bincount(image[every], minlength=len(image))
    draws = draws[np.unique(image[defects])]
    early = set(image[np.concatenate(drawn[:one_pass]) % size].tolist())
    normal = set(image[found['normal']].tolist())
    return dict(
        defect_images=len(draws),
        without_defect=float((counts == 0).mean()),
        mean=float(counts.mean()),
        variance=float(counts.var()),
        normals_seen=len(normal & early) / len(normal),
        fewest_draws=int(draws.min()),
        most_draws=int(draws.max()),
    )
