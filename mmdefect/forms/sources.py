"""Which defects of a dataset can be pasted into other images."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Container

import numpy as np

from mmdefect.forms.patches import Patch
from mmdefect.images.transforms import split_at_loading, steps_of
from mmdefect.pools.labels import LabelNames
from mmdefect.pools.scan import counts, scan
from mmdefect.pools.wrappers import leaf_of, unwrap

if TYPE_CHECKING:
    from mmdefect.forms.paste import PasteDefect

# Bytes of patches that a process keeps, so that few images are read again.
KEPT = 64 * 2**20


class Sources:
    """The instances that can be pasted: not ignored, upright, and small enough.

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
        paste: PasteDefect,
    ) -> None:
        self._paste = paste
        self._leaves, self._origin = unwrap(dataset)
        self.names = LabelNames(dataset, classes)
        self.need_masks = any(map(loads_masks, self._leaves))
        self._class_of: dict[tuple[int, int], str] = {}
        self.of: dict[str, dict[int, list[int]]] = {'': {}}
        self.seen: dict[str, int] = {'': 0}
        self._patches: OrderedDict[tuple[int, int], Patch] = OrderedDict()
        self._bytes = 0
        # A photograph that a wrapper repeats is one.
        _, first = np.unique(self._origin[images], return_index=True)
        for image in images[first].tolist():
            self._list(image)
        self._images = {name: list(of_class) for name, of_class in self.of.items()}

    def _list(self, image: int) -> None:
        leaf, position = self._leaf_of(image)
        info, names = leaf.get_data_info(position), self.names.of(image)
        for number, instance in enumerate(info.get('instances', ())):
            name = names.get(instance['bbox_label'])
            if name is None or not counts(instance):
                continue
            for key in ('', name):
                self.seen[key] = self.seen.get(key, 0) + 1
            if self.need_masks and 'mask' not in instance:
                continue
            box = instance.get('bbox', ())
            shape = info.get('height'), info.get('width')
            known = None not in shape
            if len(box) == 4 and (not known or self._paste.fits(box, shape)):
                self._class_of[image, number] = name
                for key in ('', name):
                    of_image = self.of.setdefault(key, {}).setdefault(image, [])
                    of_image.append(number)

    def _leaf_of(self, image: int) -> tuple[Any, int]:
        return leaf_of(self._leaves, int(self._origin[image]))

    def draw(self, name: str = '') -> tuple[int, int]:
        """Draw an instance: any image is as likely, and any of its instances."""
        image = random.choice(self._images[name])
        return image, random.choice(self.of[name][image])

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
        instance = results['instances'][number]
        for step in split_at_loading(steps_of(leaf))[0]:
            results = step(results)
        mask = None
        if 'mask' in instance:
            from mmdet.datasets.transforms import LoadAnnotations

            one = dict(instances=[dict(instance)], ori_shape=results['img'].shape[:2])
            loaded = LoadAnnotations(with_bbox=False, with_label=False, with_mask=True)(
                one
            )
            if not loaded['gt_ignore_flags'].any():
                mask = loaded['gt_masks'].masks[0]
        return self._paste.cut(results['img'], instance['bbox'], mask)


def loads_masks(leaf: Any) -> bool:
    """Whether the pipeline of a dataset loads masks: then each instance needs one."""
    steps = steps_of(leaf) if hasattr(leaf, 'pipeline') else ()
    return any(getattr(step, 'with_mask', False) for step in steps)


def sources_of(dataset: Any, paste: PasteDefect) -> Sources:
    """The instances of a dataset that can be pasted, found out once."""
    dataset = getattr(dataset, 'read_from', dataset)
    known = paste.sources
    if known is None or known[0] is not dataset:
        scanned = scan(dataset)
        classes = paste.defect_classes or tuple(scanned.classes)
        images = [scanned.classes[name] for name in classes]
        sources = Sources(dataset, np.unique(np.concatenate(images)), classes, paste)
        check_sources(sources, paste)
        known = paste.sources = dataset, sources
    return known[1]


def check_sources(sources: Sources, paste: PasteDefect, name: str = '') -> None:
    """Check that there is something to paste."""
    if sources.of.get(name):
        return
    least = paste.scale_range[0]
    raise ValueError(
        f'none of {sources.seen.get(name, 0):,} instances'
        + (f' of {name}' if name else '')
        + ' can be pasted: expected an upright box, with sides of at most '
        f"{paste.max_size / least:.2g} of its photograph's (max_size="
        f'{paste.max_size:g} at a scale of {least:g})'
        + ', and a mask, as the pipeline loads masks' * sources.need_masks
        + '; set max_size of PasteDefect'
    )
