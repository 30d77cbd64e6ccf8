"""Which defects of a dataset can be pasted into other images."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any, Callable, Container, Sequence

import numpy as np

from mmdefect.forms.patches import Patch
from mmdefect.images.transforms import split_at_loading, steps_of
from mmdefect.pools.scan import counts
from mmdefect.pools.source import source_of

# Bytes of patches that a process keeps, so that few images are read again.
KEPT = 64 * 2**20

# Pixels from a defect within which another one is hardly faded.
NEAR = 4


class Sources:
    """The instances that can be pasted: not ignored, upright, and small enough.

    One that touches another would bring it along without its label: it is drawn only
    where its class has none that stands alone.

    Attributes:
        of (dict[str, dict[int, list[int]]]): By class, and ``''`` for any, of each
            image the numbers of its instances that can be pasted.
        seen (dict[str, int]): By class, and ``''`` for any, the instances there are.
        need_masks (bool): Whether an instance needs a mask, because a pipeline loads
            masks.
    """

    def __init__(
        self,
        dataset: Any,
        images: np.ndarray,
        classes: Container[str] | None,
        fits: Callable[[Any, Any], bool],
        cut: Callable[..., Patch],
    ) -> None:
        self._fits = fits
        self._cut = cut
        self._dataset, source = dataset, source_of(dataset)
        self.names = source.names(classes)
        self.need_masks = any(map(loads_masks, source.leaves))
        self._class_of: dict[tuple[int, int], str] = {}
        self._crowded: set[tuple[int, int]] = set()
        self.of: dict[str, dict[int, list[int]]] = {'': {}}
        self.seen: dict[str, int] = {'': 0}
        self._patches: OrderedDict[tuple[int, int], Patch] = OrderedDict()
        self._bytes = 0
        # A photograph that a wrapper repeats is one.
        for image in source.once(images).tolist():
            self._list(image)
        self._drawn = {name: self._alone(of) or of for name, of in self.of.items()}
        self._images = {name: list(of) for name, of in self._drawn.items()}

    def _list(self, image: int) -> None:
        leaf, position = self._leaf_of(image)
        info, names = leaf.get_data_info(position), self.names.of(image)
        instances = info.get('instances', ())
        self._crowded.update((image, n) for n in _touching(instances, names))
        for number, instance in enumerate(instances):
            name = names.get(instance['bbox_label'])
            if name is None or not counts(instance):
                continue
            for key in ('', name):
                self.seen[key] = self.seen.get(key, 0) + 1
            if self.need_masks and not _has_mask(instance):
                continue
            box = instance.get('bbox', ())
            shape = info.get('height'), info.get('width')
            known = None not in shape
            if len(box) == 4 and (not known or self._fits(box, shape)):
                self._class_of[image, number] = name
                for key in ('', name):
                    of_image = self.of.setdefault(key, {}).setdefault(image, [])
                    of_image.append(number)

    def _leaf_of(self, image: int) -> tuple[Any, int]:
        return source_of(self._dataset).leaf_of(image)

    def _alone(self, of: dict[int, list[int]]) -> dict[int, list[int]]:
        alone = {
            image: [n for n in numbers if (image, n) not in self._crowded]
            for image, numbers in of.items()
        }
        return {image: numbers for image, numbers in alone.items() if numbers}

    def draw(self, name: str = '') -> tuple[int, int]:
        """Draw an instance: any image is as likely, and any of its instances."""
        image = random.choice(self._images[name])
        return image, random.choice(self._drawn[name][image])

    def label_in(self, target: int, source: int, number: int) -> int | None:
        """The label of an instance, in the part of another image."""
        name, labels = self._class_of[source, number], self.names.of(target).items()
        return next((label for label, known in labels if known == name), None)

    def patch(self, image: int, number: int) -> Patch:
        """An instance, cut out of its photograph."""
        key = image, number
        if key not in self._patches:
            self._patches[key] = self._read(image, number)
            self._bytes += self._patches[key].image.nbytes
            while self._bytes > KEPT and len(self._patches) > 1:
                _, patch = self._patches.popitem(last=False)
                self._bytes -= patch.image.nbytes
        self._patches.move_to_end(key)
        return self._patches[key]

    def _read(self, image: int, number: int) -> Patch:
        leaf, position = self._leaf_of(image)
        results = leaf.get_data_info(position)
        instance = dict(results['instances'][number])  # loading may ignore it
        for step in split_at_loading(steps_of(leaf))[0]:
            results = step(results)
        mask = None
        if _has_mask(instance):
            from mmdet.datasets.transforms import LoadAnnotations

            one = dict(instances=[instance], ori_shape=results['img'].shape[:2])
            load = LoadAnnotations(with_bbox=False, with_label=False, with_mask=True)
            mask = load(one)['gt_masks'].masks[0]
        patch = self._cut(
            results['img'], instance['bbox'], mask, results.get('gt_seg_map')
        )
        if self.need_masks and patch.mask is None:
            raise ValueError('its mask holds no pixel')
        return patch


def _touching(instances: Sequence[dict], names: Container[int]) -> list[int]:
    """Numbers of the defects that are within ``NEAR`` pixels of another."""
    near = [
        (number, instance['bbox'])
        for number, instance in enumerate(instances)
        if instance['bbox_label'] in names and len(instance.get('bbox', ())) == 4
    ]
    numbers = np.array([number for number, _ in near], np.int64)
    boxes = np.array([box for _, box in near], float).reshape(-1, 4)
    first, end = boxes[:, None, :2] - NEAR, boxes[:, None, 2:] + NEAR
    touch = ((first < boxes[None, :, 2:]) & (boxes[None, :, :2] < end)).all(2)
    return numbers[touch.sum(1) > 1].tolist()


def _has_mask(instance: dict) -> bool:
    """Whether an instance has a mask that ``LoadAnnotations`` can read."""
    mask = instance.get('mask')
    if isinstance(mask, dict):
        return mask.get('size') is not None and isinstance(
            mask.get('counts'), (list, str, bytes)
        )
    return any(len(part) >= 6 and len(part) % 2 == 0 for part in mask or ())


def loads_masks(leaf: Any) -> bool:
    """Whether the pipeline of a dataset loads masks: then each instance needs one."""
    steps = steps_of(leaf) if hasattr(leaf, 'pipeline') else ()
    return any(getattr(step, 'with_mask', False) for step in steps)
