"""How large the defects are where the model sees them, and whether that is enough."""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from mmdefect.checks.finding import Finding
from mmdefect.pools.scan import counts
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import is_a, pipelines_of, walk_configs, walk_transforms
from mmdefect.pools.wrappers import class_names

# Share of the boxes that may be smaller than a cell of the finest feature map.
FEW = 0.1
STRIDE = 8  # of most detectors, the smallest
MULTIPLE = 32  # what a scale is rounded up to, the largest stride of most detectors
LARGEST = 1280  # sides of an image, beyond which training takes windows of it
WINDOWS = (
    "dict(type='DefectCrop', size=(640, 640)) in the place of Resize, as in "
    'configs/defect_tiles.py'
)


class BoxSizes(NamedTuple):
    """Short sides of the boxes of the defect images, in pixels after the resize."""

    sides: dict[str, np.ndarray]  # by class, of shape (boxes,)
    scale: tuple[int, int]  # what the pipeline resizes images to: width, height
    split: str  # whose pipeline: 'validation' where training has no fixed size
    stride: int  # the smallest of the model
    # With it at most `FEW` of the boxes are smaller than the stride; not larger than
    # the photographs. None where the scale that is set will do.
    advised: tuple[int, int] | None

    @property
    def all(self) -> np.ndarray:
        """np.ndarray: Short sides of all boxes."""
        return np.concatenate(list(self.sides.values()))

    @property
    def windows(self) -> str:
        """str: What to train on where images would have to be too large, or nothing."""
        return WINDOWS if max(self.advised or (0,)) > LARGEST else ''

    @property
    def too_small(self) -> int:
        """int: Number of boxes smaller than the stride."""
        return int((self.all < self.stride).sum())


def measure_boxes(cfg: Any, sampler: Any) -> BoxSizes | None:
    """Measure the boxes of the defect images, as they are after the resize."""
    dataset, classes = sampler.dataset, sampler.defect_classes
    found = _find_scale(cfg, dataset)
    boxes = list(_boxes(dataset, sampler.pools['defect'], classes))
    if found is None or not boxes:
        return None
    scale, keep_ratio, split = found
    names, *columns = zip(*boxes)
    box, image = (np.array(column, float) for column in columns)
    sides = (box * _factors(image, scale, keep_ratio)).min(1)
    by_class = {
        name: sides[np.array(names) == name] for name in classes if name in names
    }
    sizes = BoxSizes(by_class, scale, split, smallest_stride(cfg), None)
    return sizes._replace(advised=_advise(sizes, image.max()))


def _advise(sizes: BoxSizes, largest: float) -> tuple | None:
    if sizes.too_small <= FEW * len(sizes.all):
        return None
    # The side below which that share of the boxes lies has to become the stride.
    side = np.quantile(sizes.all, FEW, method='higher')
    factor = min(sizes.stride / side, max(largest / max(sizes.scale), 1))
    width, height = (
        int(-(-round(length * factor) // MULTIPLE) * MULTIPLE) for length in sizes.scale
    )
    return (width, height) if (width, height) != tuple(sizes.scale) else None


def _boxes(
    dataset: Any, indices: np.ndarray, classes: Sequence[str]
) -> Iterator[tuple[str, tuple, tuple]]:
    # Of each box its class, and the width and height of it and of its photograph.
    source = source_of(dataset)
    names_of: dict[int, tuple[str, ...]] = {}  # MMEngine copies metainfo each time
    for index in source.once(indices).tolist():
        leaf, position = source.leaf_of(index)
        if not hasattr(leaf, 'get_data_info'):
            return
        info = leaf.get_data_info(position)
        if not info.get('width') or not info.get('height'):
            continue
        names = names_of.get(id(leaf)) or class_names(leaf)
        names_of[id(leaf)] = names
        for instance in info.get('instances') or ():
            box = instance.get('bbox')
            name = names[instance['bbox_label']]
            if counts(instance) and name in classes and box and len(box) == 4:
                size = (box[2] - box[0], box[3] - box[1])
                yield name, size, (info['width'], info['height'])


def _find_scale(cfg: Any, dataset: Any) -> tuple[tuple, bool, str] | None:
    steps = [
        step
        for where, pipeline in pipelines_of(dataset)
        for _, step in walk_transforms(pipeline, where)
    ]
    # What else gives images another size makes boxes of all sizes.
    sized = [s for s in steps if any('Resize' in k.__name__ for k in type(s).__mro__)]
    mixed = any(is_a(step, name) for step in steps for name in ('Mosaic', 'RandomCrop'))
    scale = _scale(sized[0]) if len(sized) == 1 and not mixed else None
    if scale:
        return scale, bool(sized[0].keep_ratio), 'training'
    validation = (cfg.get('val_dataloader') or {}).get('dataset')
    pipelines = [part.get('pipeline') for part in walk_configs(validation)]
    for step in next(filter(None, reversed(pipelines)), ()):
        scale = step.get('scale')
        if str(step.get('type')).endswith('Resize') and isinstance(
            scale, (tuple, list)
        ):
            return tuple(scale), bool(step.get('keep_ratio')), 'validation'
    return None


def _scale(step: Any) -> tuple | None:
    kind, scale = type(step).__name__, getattr(step, 'scale', None)
    return tuple(scale) if kind == 'Resize' and isinstance(scale, tuple) else None


def _factors(image: np.ndarray, scale: tuple, keep_ratio: bool) -> np.ndarray:
    # As `Resize` does: of shape (boxes, 2), for widths and heights of shape (boxes, 2).
    if not keep_ratio:
        return np.array(scale) / image
    long, short = max(scale), min(scale)
    return np.minimum(long / image.max(1), short / image.min(1))[:, None]


def smallest_stride(cfg: Any) -> int:
    """The smallest stride at which a model looks for boxes."""
    strides = [
        stride[0] if isinstance(stride, (list, tuple)) else stride
        for head in _dicts(cfg.get('model') or {})
        for stride in head.get('strides') or ()
        if str(head.get('type')).endswith(('Generator', 'Head'))
    ]
    return min((s for s in strides if isinstance(s, int)), default=STRIDE)


def _dicts(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _dicts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _dicts(inner)


def check_boxes(cfg: Any, sizes: BoxSizes | None) -> list[Finding]:
    """Check that the model sees the defects large enough."""
    if sizes is None or sizes.too_small <= FEW * len(sizes.all):
        return []
    place = 'img_scale' if 'img_scale' in cfg else 'scale of Resize in all pipelines'
    fix = ''
    if sizes.advised:
        fix = f'{place}: {sizes.advised}, in the config file itself'
    if sizes.windows:
        fix = f'train on windows at full size: {sizes.windows}'
    return [
        Finding(
            'img_scale' if 'img_scale' in cfg else 'train_dataloader.dataset',
            f'{sizes.too_small:,} of {len(sizes.all):,} boxes have a short side under '
            f'{sizes.stride} pixels after the resize to {sizes.scale}',
            f'{sizes.stride} pixels is the smallest stride of the model: what is '
            'smaller is hard to find; the quota holds',
            fix,
            breaks=False,
        )
    ]
