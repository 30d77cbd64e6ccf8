"""PasteDefect: a defect of another image is pasted into one that shows none."""

from __future__ import annotations

import random
from typing import Any, Collection, Sequence

import numpy as np
from mmengine.registry import TRANSFORMS

from mmdefect.arguments import check_type, flag, number
from mmdefect.forms.patches import (
    Patch,
    cut,
    edge,
    hull,
    looks_alike,
    mirrored,
    resized,
    soft,
    touching,
)
from mmdefect.forms.sources import Sources
from mmdefect.images.instances import (
    add_instance,
    boxes_of,
    ignored_in,
    labelled,
    photograph,
)
from mmdefect.pools.source import source_of

# Places that are tried until one is on no other box.
PLACES = 20


@TRANSFORMS.register_module()
class PasteDefect:
    """Pastes a defect of another image into an image that shows none.

    A box suffices: what it holds is cut out with some of its surroundings, scaled,
    flipped and turned, brought to the brightness and contrast of the place that it is
    put into, and fades into it in an ellipse. What the border of its photograph cuts
    stays at the border. Where there are masks, it is cut out by its mask. What follows
    in the pipeline finds the new instance among the others.

    ``quota=dict(defect=2, pasted=2)`` uses it by itself, see
    ``DefectPreservingDataset``. In a pipeline of ``MultiImageMixDataset`` it also works
    with any other sampler. It stands before what moves or crops images.

    Args:
        prob (float): Share of the images without a defect that get one, in a pipeline.
            Defaults to 1.
        scale_range (Sequence[float]): Least and largest factor of the defect's size.
            Defaults to (0.7, 1.4).
        max_size (float): The largest box that is pasted, as a share of the photograph's
            sides: of that which it is cut from, and of that which it is pasted into.
            Defaults to 0.5.
        context (float): How much around the box is cut out besides on each side, as a
            share of the box's. Defaults to 0.25.
        blur (float): Width of the edge that fades, as a share of the box's sides.
            Defaults to 0.15.
        turn (bool): Whether to turn by right angles too, which is for surfaces without
            a direction. Defaults to False.
        defect_classes (Sequence[str], optional): Names of the classes that count as
            defects. None is every class. Defaults to None.

    Raises:
        TypeError: If an argument is of another type than said here.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        prob: float = 1.0,
        scale_range: Sequence[float] = (0.7, 1.4),
        max_size: float = 0.5,
        context: float = 0.25,
        blur: float = 0.15,
        turn: bool = False,
        defect_classes: Sequence[str] | None = None,
    ) -> None:
        shares = dict(prob=prob, max_size=max_size, context=context, blur=blur)
        for name, value in shares.items():
            number(value, f'PasteDefect.{name}')
        self.prob = prob
        self.scale_range = _check_range(scale_range)
        self.max_size = max_size
        self.context = context
        self.blur = blur
        self.turn = flag(turn, 'PasteDefect.turn')
        self.defect_classes = defect_classes
        # Of a pipeline: a dataset and what can be pasted of it, and labels of defects.
        self.sources: Any = None
        self._labels: set[int] = set()

    # One defect into one image -------------------------------------------------------

    def fits(self, box: Any, shape: Sequence[int]) -> bool:
        """Whether a box is small enough, at its least scale, for a photograph."""
        x1, y1, x2, y2 = box
        area = x2 > x1 and y2 > y1
        return area and self._largest_scale(box, shape) >= self.scale_range[0]

    def suits(self, patch: Patch, results: dict) -> bool:
        """Whether a patch has the channels, the mask and the size for an image."""
        return (
            patch.image.shape[2:] == results['img'].shape[2:]
            and ('gt_masks' not in results or patch.masks is not None)
            and self.fits(patch.box, photograph(results))
        )

    def _largest_scale(self, box: Any, shape: Sequence[int]) -> float:
        x1, y1, x2, y2 = box
        height, width = (self.max_size * side for side in shape)
        return min(height / max(y2 - y1, 1e-9), width / max(x2 - x1, 1e-9))

    def cut(
        self, image: np.ndarray, box: Any, mask: Any = None, classes: Any = None
    ) -> Patch:
        """Cut a defect out of its photograph, or some of them together."""
        return cut(image, box, self.context, mask, classes)

    def paste(
        self,
        results: dict,
        patch: Patch,
        label: int | Sequence[int],
        defects: Collection[int] | None = None,
    ) -> bool:
        """Paste defects somewhere beside others, if there is a place for them.

        What the border of its photograph cuts is put to the same border.
        """
        height, width = photograph(results)
        patch = self._vary(patch, (height, width))
        place = self._free_place(results, patch, defects)
        if place is None:
            return False
        left, top = place
        boxes = (patch.boxes + [left, top] * 2).clip(0, [width, height] * 2)
        # What is beyond the photograph is left out.
        there, inside = _meeting((height, width), patch.image.shape, (top, left))
        size, own = results['img'].shape[:2], patch.masks or ()
        masks: Any = [np.zeros(size, np.uint8) for _ in own]
        for placed, mask in zip(masks, own):
            placed[there] = mask[inside]
        if not all(mask.any() for mask in masks):
            return False
        self._blend(results, patch, there, inside)
        labels = [label] if isinstance(label, int) else label
        for box, one, mask in zip(boxes, labels, masks or [None] * len(boxes)):
            add_instance(results, box, one, mask)
        return True

    def _free_place(
        self, results: dict, patch: Patch, defects: Collection[int] | None
    ) -> tuple[int, int] | None:
        # Where its left upper corner comes to lie, on no defect; while there is room,
        # on nothing that is ignored either.
        height, width = photograph(results)
        x1, y1, x2, y2 = patch.box
        at_left, at_top, at_right, at_bottom = patch.at_border
        boxes, ignored = boxes_of(results), ignored_in(results)
        kept = labelled(results, defects)
        for avoided in (kept | ignored, kept & ~ignored):
            for _ in range(PLACES):
                left = _place(x1, x2, width, at_left, at_right)
                top = _place(y1, y2, height, at_top, at_bottom)
                if not _overlap(patch.box + [left, top] * 2, boxes[avoided]).any():
                    return left, top
            if not ignored.any():
                break
        return None

    def _vary(self, patch: Patch, shape: Sequence[int]) -> Patch:
        least, largest = self.scale_range
        largest = min(largest, max(self._largest_scale(patch.box, shape), least))
        patch = resized(patch, random.uniform(least, largest))
        across, along, turned = (random.random() < 0.5 for _ in range(3))
        turned = turned and self.turn
        other = mirrored(patch, across, along, turned)
        if turned and self._largest_scale(other.box, shape) < 1:
            return mirrored(patch, across, along, False)
        return other

    def _blend(self, results: dict, patch: Patch, there: Any, inside: Any) -> None:
        shown = edge(patch, self.blur)[inside]
        corner = [inside[1].start, inside[0].start] * 2
        visible = Patch(patch.image[inside], patch.boxes - corner)
        place = results['img'][there]
        place[:] = soft(looks_alike(visible, place), place, shown)
        if results.get('gt_seg_map') is not None and patch.classes is not None:
            classes = results['gt_seg_map'] = results['gt_seg_map'].copy()
            replaced = shown > 0.5
            classes[there][replaced] = patch.classes[inside][replaced]

    # What can be pasted --------------------------------------------------------------

    def check(self, sources: Sources, name: str = '') -> None:
        """Check that there is something to paste, of a class or of any."""
        if sources.of.get(name):
            return
        least = self.scale_range[0]
        raise ValueError(
            f'none of {sources.seen.get(name, 0):,} instances'
            + (f' of {name}' if name else '')
            + ' can be pasted: expected an upright box, with sides of at most '
            f"{self.max_size / least:.2g} of its photograph's (max_size="
            f'{self.max_size:g} at a scale of {least:g})'
            + ', and a mask, as the pipeline loads masks' * sources.need_masks
            + '; set max_size of PasteDefect'
        )

    # In a pipeline of MultiImageMixDataset -------------------------------------------

    def get_indexes(self, dataset: Any) -> list[int]:
        """Choose an image to paste a defect of; none, for one that gets no defect."""
        if random.random() >= self.prob:
            return []
        sources = self._sources_of(dataset)
        image, _ = sources.draw()
        self._labels = set(sources.names.of(image))
        return [image]

    def _sources_of(self, dataset: Any) -> Sources:
        # Found out once. The wrapper hands on another object for every image.
        dataset = getattr(dataset, 'read_from', dataset)
        if self.sources is None or self.sources[0] is not dataset:
            shown = source_of(dataset).classes
            classes = self.defect_classes or tuple(shown)
            images = np.unique(np.concatenate([shown[name] for name in classes]))
            sources = Sources(dataset, images, classes, self)
            self.check(sources)
            self.sources = dataset, sources
        return self.sources[1]

    def __call__(self, results: dict) -> dict:
        """Paste a defect of ``results['mix_results']`` into an image without one."""
        sources = results.get('mix_results')
        if sources is None:
            raise ValueError(
                'PasteDefect finds no other image: it works in the pipeline of a '
                'MultiImageMixDataset, or by quota=dict(defect=..., pasted=...)'
            )
        if not sources or len(self._defects(results)):
            return results
        source = sources[0]
        labels, shape = source['gt_bboxes_labels'], photograph(source)
        boxes = boxes_of(source).clip(0, [*shape[::-1]] * 2)
        defects = self._defects(source)
        groups = [np.array(defects)[group] for group in touching(boxes[defects])]
        fitting = [group for group in groups if self.fits(hull(boxes[group]), shape)]
        if fitting:
            alone = [group for group in fitting if len(group) == 1]
            group = random.choice(alone or fitting)
            masks = source.get('gt_masks')
            mask = None if masks is None else masks[group].to_ndarray()
            patch = self.cut(
                source['img'], boxes[group], mask, source.get('gt_seg_map')
            )
            if self.suits(patch, results):
                self.paste(results, patch, labels[group].tolist(), self._labels)
        return results

    def _defects(self, results: dict) -> list[int]:
        # Numbers of the instances that are defects.
        counted = labelled(results, self._labels) & ~ignored_in(results)
        return np.flatnonzero(counted).tolist()

    def __repr__(self) -> str:
        hidden = ('sources', '_labels')
        said = ', '.join(f'{k}={v!r}' for k, v in vars(self).items() if k not in hidden)
        return f'{type(self).__name__}({said})'


def _place(first: float, end: float, size: int, at_start: bool, at_end: bool) -> int:
    # Where a patch begins whose box goes from first to end, in whole pixels: nothing is
    # interpolated once more.
    least, most = -first, max(size - end, -first)
    if at_start or at_end:
        return round(least if at_start else most)
    return round(random.uniform(least, most))


def _meeting(
    shape: Sequence[int], size: Sequence[int], corner: Sequence[int]
) -> tuple[Any, Any]:
    # Where a patch lies in an image, and which part of it does.
    ends = [
        (max(first, 0), min(first + length, side), first)
        for first, length, side in zip(corner, size, shape)
    ]
    there = tuple(slice(start, end) for start, end, _ in ends)
    return there, tuple(slice(start - n, end - n) for start, end, n in ends)


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (
        np.maximum(others[:, :2], box[:2]) < np.minimum(others[:, 2:], box[2:])
    ).all(1)


def _check_range(scales: Any) -> tuple[float, float]:
    line = 'PasteDefect.scale_range'
    pair = np.shape(scales) == (2,) and not isinstance(scales[0], str)
    expected = 'two numbers, such as (0.7, 1.4)'
    least, largest = check_type(scales, (list, tuple) if pair else (), expected, line)
    if not 0 < least <= largest:
        raise ValueError(
            f'scale_range={scales!r}: expected two numbers above 0, the least first; '
            f'set {line}'
        )
    return float(least), float(largest)
