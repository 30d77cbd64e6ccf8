"""The stock config of a config with a quota: the same but for its sampling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmdefect.analysis.config import has_quota, running
from mmdefect.analysis.errors import UnusableError

if TYPE_CHECKING:
    from mmengine.config import Config


def stock(cfg: Config) -> Config:
    """Take the quota out of a config."""
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    loader = cfg.train_dataloader
    if not has_quota(cfg):
        raise UnusableError(
            f'{cfg.filename} has no quota to compare with: train_dataloader needs '
            "batch_sampler=dict(type='QuotaBatchSampler', quota=3)"
        )
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    small = dict(loader, num_workers=0, persistent_workers=False)
    with running('the training dataloader cannot be built'):
        num_batches = len(Runner.build_dataloader(small).batch_sampler)
    loader.batch_sampler.update(quota=None, num_batches=num_batches)
    loader.sampler.pop('weights', None)
    if 'DefectPreservingDataset' in str(loader.dataset.type):
        loader.dataset = loader.dataset.dataset
    # A pure-Python config imports classes, of which only the names are written.
    imports = cfg.get('custom_imports') or dict(imports=[])
    names = imports['imports']
    names = [names] if isinstance(names, str) else [*names]
    cfg.custom_imports = dict(
        imports=list(dict.fromkeys([*names, 'mmdefect'])), allow_failed_imports=False
    )
    watching = re.compile('Quota(Monitor|Schedule)Hook')
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [h for h in hooks if not watching.search(str(h['type']))]
    return cfg
