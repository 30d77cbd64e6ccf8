"""A delivered defect image is known again, and its labels mean what its part says."""

from __future__ import annotations

import dataset_files as files
import pytest
from mmdet.datasets import ConcatDataset

from mmdefect import DefectPoolSampler
from mmdefect.delivery.defect_images import DefectImages
from mmdefect.delivery.delivered import delivered_classes

META = ('img_id', 'img_path')


def part(folder, meta_keys=META, **options):
    pack = dict(type='mmdet.PackDetInputs', meta_keys=meta_keys)
    options.setdefault('return_classes', True)
    dataset, _ = files.xml(folder, pipeline=[*files.LABELS, pack], **options)
    return dataset


def find_all(dataset, classes=None):
    """Of each image: which defect image it is, and the classes that it delivers."""
    sampler = DefectPoolSampler(dataset, defect_classes=classes)
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    images = DefectImages(
        dataset, sampler.pools['defect'], sampler.defect_classes, samples[0]
    )
    found = [images.find(sample) for sample in samples]
    numbers = [number for number, _ in found]
    shown = [delivered_classes(s, names) for s, (_, names) in zip(samples, found)]
    return sampler.pools, images, numbers, shown


def test_parts_may_number_their_classes_as_they_like(tmp_path):
    """As with return_classes=True, where their names go into the model."""
    both = ConcatDataset(
        [part(tmp_path / 'one'), part(tmp_path / 'two', classes=files.CLASSES[::-1])]
    )
    pools, images, numbers, shown = find_all(both)
    for name in files.CLASSES:
        showing = [index for index, names in enumerate(shown) if name in names]
        assert showing == pools[name].tolist()
    known = [index for index, number in enumerate(numbers) if number is not None]
    assert known == pools['defect'].tolist()
    assert [numbers[index] for index in known] == list(range(len(images)))


def test_what_is_no_defect_in_its_own_part_is_none_though_another_has_that_label(
    tmp_path,
):
    both = ConcatDataset(
        [part(tmp_path / 'one'), part(tmp_path / 'two', classes=('stain', 'crack'))]
    )
    pools, _, numbers, shown = find_all(both, ['crack'])
    normal = pools['normal'].tolist()
    assert [numbers[index] for index in normal] == [None] * len(normal)
    assert [shown[index] for index in normal] == [set()] * len(normal)


def test_an_image_that_a_wrapper_repeats_is_one_image(tmp_path):
    one = part(tmp_path)
    pools, images, numbers, _ = find_all(ConcatDataset([one, one]))
    assert 2 * len(images) == len(pools['defect'])
    assert numbers[: len(one)] == numbers[len(one) :]


@pytest.mark.parametrize('meta_keys', [('img_path',), ('img_id',), ()])
def test_a_defect_counts_whatever_is_packed_beside_it(tmp_path, meta_keys):
    pools, images, numbers, shown = find_all(part(tmp_path, meta_keys))
    assert len(images) == (len(pools['defect']) if meta_keys else 0)
    assert len({*numbers} - {None}) == len(images)
    assert [i for i, names in enumerate(shown) if names] == pools['defect'].tolist()
