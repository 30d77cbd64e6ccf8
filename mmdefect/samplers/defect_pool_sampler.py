"""DefectPoolSampler: which images are defects."""

from __future__ import annotations

import os
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info, sync_random_seed
from mmengine.logging import MessageHub
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmdefect.arguments import check_type, flag, whole_number
from mmdefect.checks.annotations import examine
from mmdefect.checks.dataset import inner_wrappers
from mmdefect.checks.finding import tell
from mmdefect.checks.pools import (
    check_defect_classes,
    check_pool_names,
    check_pools,
    check_weights,
)
from mmdefect.plan.plan import Plan
from mmdefect.pools.pools import annotated_normals, make_pools, read_pool
from mmdefect.pools.source import source_of
from mmdefect.pools.weights import read_weights
from mmdefect.samplers.ranks import constructed_together

LINE = 'train_dataloader.sampler'
CONFIG_LINES = (
    "    sampler=dict(type='DefectPoolSampler'),\n"
    "    batch_sampler=dict(type='QuotaBatchSampler', quota=...)"
)


@DATA_SAMPLERS.register_module()
class DefectPoolSampler(Sampler):
    """Knows which images of a dataset show a defect.

    Iterated alone it yields this rank's share of one plain shuffled epoch, like
    MMEngine's ``DefaultSampler``. ``QuotaBatchSampler`` does not iterate it: it draws
    from its ``pools``.

    When it is built, the first rank compares the pools with the annotation files. It
    warns of images that a file gives a defect and that are in no pool for it, of images
    in a pool that show none, and of what could not be compared; it refuses where most
    of a class is lost so. ``mmdefect check`` finds the same.

    Args:
        dataset (Sized): The dataset, or the outermost wrapper around it.
        seed (int, optional): Seed of all draws, the same on all ranks. None is agreed
            on between the ranks. Defaults to None.
        defect_classes (Sequence[str], optional): Names of the classes that count as
            defects. None is every class of the dataset. Defaults to None.
        replacement (bool): Whether each draw from a pool is independent of the others.
            False goes through the pool in reshuffled cycles, so that every image is
            drawn equally often, give or take one. Defaults to True.
        pools (dict, optional): Further pools by name, hard negatives for example: a
            text file with one file name or image id a line, or a list of indices.
            Their images leave ``normal``. Defaults to None.
        weights (str | Callable, optional): How often each image is to be drawn
            relative to the others of its pool. ``'class_balanced'``: each class equally
            often. ``'repeat_factor'``: by the square root of how rare a class is. An
            image of several classes counts for its rarest. Or a text file with one file
            name or image id and its weight a line (the others weigh 1), or a function,
            or its dotted name, that takes the image's ``data_info`` and returns the
            weight. All normal images weigh the same, since an epoch shows each of them
            once. None is equally often. Defaults to None.
        shuffle (bool): Only True. It is there because a config inherits
            ``sampler=dict(type='DefaultSampler', shuffle=True)`` and MMEngine merges
            what the user writes into it. Defaults to True.

    Attributes:
        pools (dict[str, np.ndarray]): Sorted int64 indices by pool name: ``normal``,
            ``defect``, each defect class, each further pool.
        photographs (dict[str, int]): Number of different photographs by pool name, and
            of ``all``: an image that a wrapper repeats is one.
        count_photographs (Callable): See :meth:`PhotographIds.count`.
        rank (int): This process's rank.
        world_size (int): Number of ranks.
        seed (int): The seed in use.
        seed_is_drawn (bool): Whether it was not given, but drawn at random.
        epoch (int): The epoch that the next iteration belongs to.

    Raises:
        TypeError: If an argument is of another type than said here.
        ValueError: If a class or image is unknown, or a pool without images, or the
            pools are not what the annotation files say.
        FileNotFoundError: If a file of ``pools`` or ``weights`` is missing.
        RuntimeError: If one of these is raised on another rank only.
    """

    @constructed_together
    def __init__(
        self,
        dataset: Any,
        seed: int | None = None,
        defect_classes: Sequence[str] | None = None,
        replacement: bool = True,
        pools: Mapping[str, str | os.PathLike | Sequence[int]] | None = None,
        weights: Any | None = None,
        shuffle: bool = True,
    ) -> None:
        if seed is not None:
            whole_number(seed, f'{LINE}.seed', 0, 2**64 - 1)
        if shuffle is not True:
            raise ValueError(
                f'shuffle={shuffle!r}: expected True, the batches are drawn at random; '
                'take it out of train_dataloader.sampler'
            )
        flag(replacement, f'{LINE}.replacement')
        if weights is not None and not replacement:
            raise ValueError(
                'weights go with replacement=True only: cycles draw every image '
                'equally often; take one of both out of train_dataloader.sampler'
            )
        if pools is not None:
            expected = 'a dict, name -> text file or list of indices'
            check_type(pools, Mapping, expected, f'{LINE}.pools')
        self.rank, self.world_size = get_dist_info()
        self.seed: Any = seed
        self.seed_is_drawn = seed is None
        self.epoch = 0
        self.dataset = dataset
        self.replacement = replacement

        tell(inner_wrappers(dataset))
        if self.rank == 0:  # the files are read by one rank: all fail with it
            tell(examine(dataset, defect_classes))
        source = source_of(dataset)
        scanned, shots = source.scan, source.photographs
        self.defect_classes = check_defect_classes(defect_classes, scanned.classes)
        check_pool_names(pools or {}, scanned)
        extra = {name: read_pool(name, x, source) for name, x in (pools or {}).items()}
        self.pools = make_pools(scanned, self.defect_classes, extra)
        check_pools(self.pools, self.defect_classes, dataset)
        self.count_photographs = shots.count
        self.photographs = {
            name: shots.count(pool)
            for name, pool in {**self.pools, 'all': np.arange(len(dataset))}.items()
        }
        if hasattr(dataset, 'know_pools'):  # what it replaces stays in its pools
            dataset.know_defect_classes(defect_classes)
            dataset.know_pools(self.pools)
        annotated = annotated_normals(
            scanned, self.pools['normal'], self.defect_classes
        )
        self.annotated_normals = {
            what: shots.count(images)
            for what, images in annotated.items()
            if len(images)
        }
        self.weights = None
        if weights is not None:
            classes = {name: scanned.classes[name] for name in self.defect_classes}
            self.weights = read_weights(weights, source, classes)
            check_weights(self.weights, self.pools['normal'])

    def _agree(self) -> None:
        seeds = all_gather_object(self.seed)
        for rank, seed in enumerate(seeds):
            if seed != seeds[0]:
                raise ValueError(
                    'the ranks do not draw with the same seed: '
                    f'rank 0 {seeds[0]!r}, rank {rank} {seed!r}; set '
                    'train_dataloader.sampler.seed, or randomness.seed, on every rank'
                )
        self.seed = sync_random_seed() if self.seed is None else int(self.seed)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration belongs to."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of images on this rank in a plain epoch."""
        return -(-len(self.dataset) // self.world_size)

    def __iter__(self) -> Iterator[int]:
        # The config of the Runner at work, or of the last one in this process.
        config = MessageHub.get_current_instance().get_info('cfg') or ''
        if 'DefectPoolSampler' in config and 'QuotaBatchSampler' not in config:
            raise ValueError(
                'DefectPoolSampler trains without a quota: no QuotaBatchSampler was '
                'built on it. Write into train_dataloader:\n' + CONFIG_LINES
            )
        if self.weights is not None:
            raise ValueError(
                'weights count for the draws of a quota, and there is none: '
                'set train_dataloader.batch_sampler, or take '
                'train_dataloader.sampler.weights out'
            )
        plan = Plan(
            {'all': range(len(self.dataset))},
            quota=None,
            batch_size=1,
            world_size=self.world_size,
            seed=self.seed,
            drop_last=False,
        )
        for _, rows in plan.chunks(self.epoch, self.rank):
            yield from rows.ravel().tolist()
