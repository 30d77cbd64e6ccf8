"""The photographs to be judged, and what their annotations say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Sequence

import numpy as np

from mmdefect.analysis.config import running
from mmdefect.analysis.errors import UnusableError
from mmdefect.checks.config import defect_classes_of
from mmdefect.delivery.whole_photographs import test_transforms
from mmdefect.metrics.boxes import hulls
from mmdefect.metrics.parts import part_names
from mmdefect.pools.scan import counts


class Photograph(NamedTuple):
    """One image file, with what its annotations say."""

    path: str
    boxes: np.ndarray  # of its defects, (n, 4): left, top, right, bottom in pixels
    labels: np.ndarray  # of its defects, (n,)
    # Boxes that are neither defect nor normal: ignored ones, and those of other
    # classes, (m, 4).
    others: np.ndarray
    info: dict  # what the pipeline takes
    part: str = ''  # the physical piece that it shows; '' where only it does
    per: str = 'photograph'  # what is decided on, ``photograph`` or ``part``

    @property
    def decided(self) -> str:
        """str: What is decided on with it: itself, or the part that it shows."""
        return self.part if self.per == 'part' else self.path

    @property
    def is_defect(self) -> bool:
        """bool: Whether it shows a defect, by its annotations."""
        return len(self.labels) > 0


class Photographs(NamedTuple):
    """What a detector is judged on.

    Args:
        images (list[Photograph]): The photographs, each once.
        classes (tuple[str, ...]): Class names, by label.
        defect_labels (list[int]): Labels of the classes that count as defects.
        pipeline (list[dict]): How a photograph gets to the model.
        dataset: Where they are from; None for a folder.
    """

    images: list[Photograph]
    classes: tuple[str, ...]
    defect_labels: list[int]
    pipeline: list[dict]
    dataset: Any = None

    @property
    def unit(self) -> str:
        """str: What is decided on and counted."""
        return f'{self.images[0].per}s'.replace('photographs', 'images')


def read_split(cfg: Any, split: str) -> Photographs:
    """The photographs of a part of the data."""
    from mmengine.registry import DATASETS

    from mmdefect.pools.source import source_of
    from mmdefect.pools.wrappers import class_names

    loader: Any = cfg.get(f'{split}_dataloader') or {}
    if 'dataset' not in loader:
        raise UnusableError(f'the config has no {split}_dataloader.dataset')
    with running(f'the images of {split} cannot be listed'):
        dataset = DATASETS.build(loader.dataset)
        source = source_of(dataset)
        names = {class_names(leaf) for leaf in source.leaves}
        if len(names) > 1:
            raise UnusableError(
                f'the parts of {split} name different classes: set the same metainfo'
            )
        (classes,) = names
        labels = defect_labels(cfg, classes)
        listed: dict[str, list[dict]] = {}
        for index in source.once(np.arange(len(source))).tolist():
            info = source.info(index)
            listed.setdefault(info['img_path'], []).append(info)
        images = [photograph_of(merged(same), labels) for same in listed.values()]
        said = source.leaves[0].metainfo.get('part')
        if said is not None:
            parts = part_names(said, list(listed))
            per = per_of(cfg, split)
            images = [one._replace(part=p, per=per) for one, p in zip(images, parts)]
    return Photographs(
        images,
        classes,
        labels,
        pipeline_for(cfg, split),
        dataset,
    )


def per_of(cfg: Any, split: str) -> str:
    """What ``DefectImageMetric`` decides on; of training images, on each."""
    evaluators = cfg.get(f'{split}_evaluator') or cfg.get('val_evaluator') or []
    for one in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        if split != 'train' and 'DefectImageMetric' in str(one['type']):
            return one.get('per', 'photograph')
    return 'photograph'


def read_folder(cfg: Any, folder: Path) -> Photographs:
    """The photographs of a folder, without annotations."""
    from PIL import Image

    Image.init()
    paths = [path for path in sorted(folder.rglob('*')) if path.is_file()]
    kinds = {end for end, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    paths = [path for path in paths if path.suffix.lower() in kinds]
    if not paths:
        raise UnusableError(f'--images {folder}: there is no image in it')
    with running('the classes cannot be read'):
        classes = classes_of(cfg)
    images = [
        photograph_of(dict(img_path=str(path), img_id=number, instances=[]), [])
        for number, path in enumerate(paths)
    ]
    labels = defect_labels(cfg, classes)
    return Photographs(images, classes, labels, pipeline_for(cfg, 'val'))


def merged(infos: Sequence[dict]) -> dict:
    """One photograph that is listed once or more: with the instances of all."""
    instances: list[dict] = []
    for info in infos:
        known = [_said_by(one) for one in instances]
        more = info.get('instances') or ()
        instances += [one for one in more if _said_by(one) not in known]
    ids = [info.get('img_id') for info in infos]
    return dict(infos[0], instances=instances, img_ids=ids)


def _said_by(instance: dict) -> tuple:
    keys = ('bbox_label', 'ignore_flag')
    return (*map(float, instance['bbox']), *(instance.get(key) for key in keys))


def photograph_of(info: dict, labels: Sequence[int]) -> Photograph:
    """A photograph, from what a dataset knows of it."""
    parts: tuple[list, list, list] = ([], [], [])
    for instance in info.get('instances') or ():
        if counts(instance) and instance['bbox_label'] in labels:
            parts[0].append(instance['bbox'])
            parts[1].append(instance['bbox_label'])
        else:
            parts[2].append(instance['bbox'])
    boxes, others = (upright_boxes(part) for part in parts[::2])
    return Photograph(info['img_path'], boxes, np.array(parts[1], int), others, info)


def upright_boxes(rows: list) -> np.ndarray:
    """Upright boxes, (n, 4), from what annotations say, which may be turned boxes."""
    return hulls(np.array(rows, float)) if rows else np.zeros((0, 4))


def defect_labels(cfg: Any, classes: Sequence[str]) -> list[int]:
    """Labels of the classes that count as defects for the config's sampler."""
    names = defect_classes_of(cfg) or classes
    return [label for label, name in enumerate(classes) if name in names]


def classes_of(cfg: Any) -> tuple[str, ...]:
    """Class names of the validation set."""
    from mmengine.registry import DATASETS

    from mmdefect.pools.source import source_of
    from mmdefect.pools.wrappers import class_names

    return class_names(source_of(DATASETS.build(cfg.val_dataloader.dataset)).leaves[0])


def pipeline_for(cfg: Any, split: str) -> list[dict]:
    """The pipeline of a part of the data, without what reads annotations."""
    loader = cfg.get(f'{"val" if split == "train" else split}_dataloader')
    if not loader:
        raise UnusableError('the config has no val_dataloader, whose pipeline is used')
    return test_transforms(loader.dataset)
