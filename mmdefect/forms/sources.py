"""Which defects of a dataset can be pasted into other images."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any, Container, Sequence

import numpy as np

from mmdefect.forms.patches import Patch, hull, touching
from mmdefect.images.transforms import loads_masks, split_at_loading, steps_of
from mmdefect.pools.scan import counts
from mmdefect.pools.source import source_of

# Bytes of patches that a process keeps, so that few images are read again.
KEPT = 64 * 2**20


class Sources:
    """The instances that can be pasted: not ignored, upright, and small enough.

    Those that touch each other are pasted together, each with its label, and only where
    a class has none that stands alone. What is ignored is pasted along unlabelled.

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
        paste: Any,
    ) -> None:
        self._paste = paste
        self._dataset, source = dataset, source_of(dataset)
        self.names = source.names(classes)
        self.need_masks = loads_masks(dataset)
        self._class_of: dict[tuple[int, int], str] = {}
        self._together: dict[tuple[int, int], list[int]] = {}
        self.of: dict[str, dict[int, list[int]]] = {'': {}}
        self._alone: dict[str, dict[int, list[int]]] = {}
        self.seen: dict[str, int] = {'': 0}
        self._patches: OrderedDict[tuple[int, int], Patch] = OrderedDict()
        self._bytes = 0
        # A photograph that a wrapper repeats is one.
        for image in source.once(images).tolist():
            self._list(image)
        self._drawn = {**self.of, **self._alone}
        self._images = {name: list(of) for name, of in self._drawn.items()}

    def _list(self, image: int) -> None:
        info, names = source_of(self._dataset).info(image), self.names.of(image)
        instances = info.get('instances', ())
        shape = info.get('height'), info.get('width')
        groups = _groups(instances, names)
        for number, instance in enumerate(instances):
            name = names.get(instance['bbox_label'])
            if name is None or not counts(instance):
                continue
            self._class_of[image, number] = name
            for key in ('', name):
                self.seen[key] = self.seen.get(key, 0) + 1
            together = [n for n in groups.get(number, ()) if counts(instances[n])]
            masked = all(_has_mask(instances[n]) for n in together)
            if not together or (self.need_masks and not masked):
                continue
            box = hull(np.array([instances[n]['bbox'] for n in together], float))
            if None in shape or self._paste.fits(box, shape):
                self._together[image, number] = together
                for of in (self.of, self._alone)[: 1 + (len(groups[number]) == 1)]:
                    for key in ('', name):
                        of.setdefault(key, {}).setdefault(image, []).append(number)

    def draw(self, name: str = '') -> tuple[int, int]:
        """Draw an instance: any image is as likely, and any of its instances."""
        image = random.choice(self._images[name])
        return image, random.choice(self._drawn[name][image])

    def labels_in(self, target: int, source: int, number: int) -> list[int]:
        """The labels of what is pasted, those that the part of another image has."""
        labels: dict[str, int] = {}
        for label, name in self.names.of(target).items():
            labels.setdefault(name, label)
        names = [self._class_of[source, n] for n in self._together[source, number]]
        return [labels[name] for name in names if name in labels]

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
        leaf, position = source_of(self._dataset).leaf_of(image)
        results = leaf.get_data_info(position)
        together = [results['instances'][n] for n in self._together[image, number]]
        together = list(map(dict, together))  # loading may ignore them
        for step in split_at_loading(steps_of(leaf))[0]:
            results = step(results)
        masks = None
        if all(map(_has_mask, together)):
            from mmdet.datasets.transforms import LoadAnnotations

            them = dict(instances=together, ori_shape=results['img'].shape[:2])
            load = LoadAnnotations(with_bbox=False, with_label=False, with_mask=True)
            masks = load(them)['gt_masks'].masks
        boxes = [instance['bbox'] for instance in together]
        classes = results.get('gt_seg_map')
        return self._paste.cut(results['img'], boxes, masks, classes)


def _groups(
    instances: Sequence[dict], names: Container[int]
) -> dict[int, Sequence[int]]:
    # Of each defect with an upright box: itself and those that it touches.
    boxes = {
        number: instance['bbox']
        for number, instance in enumerate(instances)
        if instance['bbox_label'] in names and len(instance.get('bbox', ())) == 4
    }
    numbers = list(boxes)
    groups = touching(np.array(list(boxes.values()), float).reshape(-1, 4))
    return {numbers[g[0]]: [numbers[n] for n in g] for g in groups}


def _has_mask(instance: dict) -> bool:
    """Whether an instance has a mask that ``LoadAnnotations`` can read."""
    mask = instance.get('mask')
    if isinstance(mask, dict):
        return mask.get('size') is not None and isinstance(
            mask.get('counts'), (list, str, bytes)
        )
    return any(len(part) >= 6 and len(part) % 2 == 0 for part in mask or ())
