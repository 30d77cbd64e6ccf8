"""All that a comparison knows before it trains; ``asked`` are the command's options."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import sys
import warnings
from copy import deepcopy
from typing import Any, Iterator

import mmcv
import mmdet
import mmengine
import numpy as np
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import mmdefect
from mmdefect.comparison.configs import (
    look_at,
    pool_arguments,
    shared_config,
    use_sampler,
)
from mmdefect.comparison.figures import draw_figures


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No word of what is built on the way to the figures."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def prepare(asked: Any) -> tuple[dict[str, Config], dict, dict]:
    """The config of each sampler, what the data are like, and what each draws."""
    register_all_modules(init_default_scope=False)
    init_default_scope('mmdet')
    cfg = shared_config(
        asked.config, asked.cfg_options, asked.iters, asked.val_interval
    )
    facts = look_at(cfg)
    pools = pool_arguments(cfg)
    configs, figures = {}, {}
    for name in asked.samplers:
        configs[name] = use_sampler(cfg, name, facts, asked.schedule)
        drawn = deepcopy(cfg)
        drawn.train_cfg.max_iters = asked.batches
        drawn = use_sampler(drawn, name, facts, asked.schedule)
        figures[name] = draw_figures(
            drawn, pools, asked.batches, facts['one_pass'], facts['together']
        )
    return configs, facts, figures


def record_of(cfg: Config, facts: dict, figures: dict, asked: Any) -> dict:
    """Settings and versions, for ``results.json``."""
    modules = (mmdefect, mmengine, mmcv, mmdet, torch, np)
    versions = {module.__name__: module.__version__ for module in modules}
    digest = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    return dict(
        settings=vars(asked),
        versions=dict(versions, python=sys.version.split()[0]),
        config_sha256=digest,
        data=facts,
        without_training=figures,
    )
