"""Names that no class has, or that mean no defect, are told with what to write."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import dataset_files as files
import pytest
from dataset_files import CLASSES, Image
from faulty_files import (
    DEFECT,
    IMAGES,
    coco,
    drawn,
    edited_coco,
    load_coco,
    names,
    refusal,
    sampler,
    xml,
)
from mmengine.registry import DATASETS

from mmdefect.checks.annotations import examine

pytest.importorskip('mmdet.datasets')


# --- Names -------------------------------------------------------------------------


def rename(old, new, first=0):
    def edit(stem, text):
        return text.replace(f'>{old}<', f'>{new}<') if stem >= f'd{first:02d}' else text

    return edit


@pytest.mark.parametrize('name', ['Crack', 'crack ', 'CRACK', 'crack_'])
def test_xml_names_that_are_spelled_otherwise_are_told_with_the_class(
    name, tmp_path, warnings
):
    made, (message,) = warnings(xml(tmp_path / 'some', rename('crack', name, 4)))
    assert drawn(made) == [n for n in names(DEFECT) if n not in ('d04', 'd06')]
    assert f"images with {name!r} where the class is 'crack': 2, such as" in message
    assert 'd04.xml' in message or 'd06.xml' in message
    message = refusal(xml(tmp_path / 'all', rename('crack', name)))
    assert f"'crack' instead of {name!r}" in message


def test_a_coco_category_spelled_otherwise_is_refused_with_its_own_name(tmp_path):
    def change(content):
        content['categories'][0]['name'] = 'Crack'

    message = refusal(edited_coco(tmp_path, change))
    assert "metainfo=dict(classes=('Crack', 'dent'))" in message


THIRD = IMAGES + [Image(f's{i}', ('stain',)) for i in range(3)]


@pytest.mark.parametrize('kind', ['coco', 'xml'])
def test_a_third_class_that_counts_as_normal_is_told_until_the_user_says_so(
    kind, tmp_path, warnings
):
    if kind == 'xml':
        dataset = xml(tmp_path, images=THIRD)
    else:
        path = files.coco_json(tmp_path / 'train.json', THIRD)
        dataset = load_coco(tmp_path, path)
    _, (message,) = warnings(dataset)
    assert "'stain' (in 3)" in message
    assert "metainfo=dict(classes=('crack', 'dent', 'stain'))" in message
    assert 'train_dataloader.sampler.defect_classes' in message
    assert warnings(dataset, defect_classes=['crack', 'dent'])[1] == []
    assert [f.breaks for f in examine(dataset, ['crack', 'dent'])] == [False]


@pytest.mark.parametrize('classes', [('krack', 'dent'), ('dent', 'krack')])
def test_a_typo_in_metainfo_gets_the_name_in_the_xml_files(classes, tmp_path, warnings):
    right = tuple(name.replace('krack', 'crack') for name in classes)
    _, (message,) = warnings(xml(tmp_path, classes=classes))
    assert "show: 'crack' (in 4); none shows ('krack',)" in message
    assert f'metainfo=dict(classes={right})' in message


@pytest.mark.parametrize('kind', ['coco', 'xml'])
def test_metainfo_with_none_of_the_names_is_refused_with_those_of_the_files(
    kind, tmp_path
):
    build = coco if kind == 'coco' else xml
    options = dict(classes=('a', 'b')) if kind == 'xml' else {}
    if kind == 'coco':
        options = dict(metainfo=None)  # the classes of COCO itself
    message = refusal(build(tmp_path, **options))
    assert "'crack' (in 4), 'dent' (in 4)" in message
    assert "'crack'" in message.partition('Write there')[2]


def test_two_categories_of_one_name_are_refused_with_another_cure_than_a_list(tmp_path):
    def change(content):
        content['categories'].insert(0, dict(id=1, name='crack'))

    message = refusal(edited_coco(tmp_path, change))
    assert "2 categories are named 'crack', those with the ids [1, 3]" in message
    assert 'classes=' not in message


def test_two_categories_of_one_id_are_refused(tmp_path):
    def change(content):
        content['categories'][1]['id'] = content['categories'][0]['id']
        for annotation in content['annotations']:
            annotation['category_id'] = content['categories'][0]['id']

    message = refusal(edited_coco(tmp_path, change))
    assert "2 categories have the id 3: ('crack', 'dent')" in message


@pytest.mark.parametrize('kind', ['coco', 'xml'])
@pytest.mark.parametrize('wrapped', [False, True])
def test_classes_that_are_text_do_not_make_a_class_of_each_letter(
    kind, wrapped, tmp_path
):
    build = partial(files.coco if kind == 'coco' else files.xml, tmp_path)
    config = dict(type=lambda: build(classes='cracks', lazy_init=True)[0])
    if wrapped:
        config = dict(type='DefectPreservingDataset', dataset=config, lazy_init=True)
    right = r"classes='cracks', which is text.*classes=\('cracks',\)"
    with pytest.raises(ValueError, match=right):
        sampler(DATASETS.build(config))


# --- Classes of what is no defect --------------------------------------------------


def with_class(name, folder, shows=10, **options):
    """Images of which the first are annotated with a class that is no defect."""
    images = [
        image._replace(shows=(name,) if number < shows else image.shows)
        for number, image in enumerate(IMAGES)
    ]
    path = files.coco_json(Path(folder, 'train.json'), images, (name, *CLASSES))
    metainfo = dict(classes=(name, *CLASSES))
    return load_coco(folder, path, metainfo=metainfo, **options)


@pytest.mark.parametrize(
    'name',
    [
        *('background', '_background_', 'OK', 'No defect', '背景', '良品', '정상'),
        *(
            'Ignored regions',
            "don't care",
            'healthy',
            'negative',
            '忽略',
            '無視',
            '무시',
        ),
    ],
)
def test_a_class_called_like_no_defect_is_told_with_what_to_paste(
    name, tmp_path, warnings
):
    dataset = with_class(name, tmp_path)
    made, (message,) = warnings(dataset)
    assert len(made.pools['defect']) == 18
    assert f'show nothing but {name!r}: 10, such as' in message
    assert "defect_classes=['crack', 'dent']" in message
    made, said = warnings(dataset, defect_classes=['crack', 'dent'])
    assert drawn(made) == names(DEFECT)
    assert said == []


def test_such_a_class_on_most_normal_images_is_refused(tmp_path):
    assert "defect_classes=['crack', 'dent']" in refusal(with_class('OK', tmp_path, 11))
    assert "defect_classes=['crack', 'dent']" in refusal(with_class('OK', tmp_path, 20))


def test_such_a_class_without_images_of_its_own_is_no_fault(tmp_path, warnings):
    assert warnings(with_class('background', tmp_path, 0))[1] == []
    both = [
        image._replace(shows=(*image.shows, 'bg') * bool(image.shows))
        for image in IMAGES
    ]
    path = files.coco_json(tmp_path / 'both.json', both, ('bg', *CLASSES))
    dataset = load_coco(tmp_path, path, metainfo=dict(classes=('bg', *CLASSES)))
    assert warnings(dataset)[1] == []


# --- Classes of parts, and classes called as a pool --------------------------------


def with_part(folder, normal, name='insulator'):
    """All images but some show a part; those with a defect show it as well."""
    shows = [image._replace(shows=(name, *image.shows)) for image in IMAGES]
    shows[:normal] = IMAGES[:normal]
    classes = (name, *CLASSES)
    path = files.coco_json(Path(folder, 'train.json'), shows, classes)
    return load_coco(folder, path, metainfo=dict(classes=classes))


def test_a_part_on_every_image_is_refused_with_the_classes_that_are_defects(tmp_path):
    message = refusal(with_part(tmp_path, 0))
    assert "images that show 'insulator': 28 of 28" in message
    assert "defect_classes=['crack', 'dent']" in message


def test_a_part_on_nearly_all_images_is_told(tmp_path, warnings):
    _, (message,) = warnings(with_part(tmp_path, 5))
    assert "images that show 'insulator': 23 of 28" in message
    assert warnings(with_part(tmp_path, 5), defect_classes=['crack'])[1] == []
    assert warnings(with_part(tmp_path, 8))[1] == []


def test_a_class_called_defect_beside_others_is_told_to_have_no_pool(
    tmp_path, warnings
):
    shows = [
        image._replace(shows=tuple(n.replace('dent', 'defect') for n in image.shows))
        for image in IMAGES
    ]
    classes = ('crack', 'defect')
    path = files.coco_json(tmp_path / 'train.json', shows, classes)
    dataset = load_coco(tmp_path, path, metainfo=dict(classes=classes))
    _, (message,) = warnings(dataset)
    assert "a quota of 'defect' draws from the images of all classes" in message
    assert warnings(dataset, defect_classes=['defect'])[1] == []


# --- Names that look like those of metainfo ----------------------------------------


def renamed(folder, classes, *names):
    def change(content):
        for category, name in zip(content['categories'], names):
            category['name'] = name

    return edited_coco(folder, change, metainfo=dict(classes=classes))


@pytest.mark.parametrize('first', [True, False])
def test_an_umlaut_in_two_ways_of_writing_is_told_to_look_alike(first, tmp_path):
    classes, written = ('d\u00fcnn', 'dent'), ('du\u0308nn', 'dent')
    order = slice(None, None, 1 if first else -1)
    message = refusal(renamed(tmp_path, classes[order], *written[order]))
    assert 'both look alike' in message
    assert "'du\\u0308nn' and 'd\\xfcnn'" in message


def test_category_names_that_are_numbers_are_told_to_be_text(tmp_path):
    message = refusal(renamed(tmp_path, ('1', '2'), 1, 2))
    assert "images with 1 where the class is '1'" in message
    assert 'a name is text, in quotes' in message


def test_metainfo_in_capitals_is_told_which_key_is_read(tmp_path):
    dataset = coco(tmp_path, metainfo=dict(CLASSES=CLASSES))
    found = examine(dataset, where='val_dataloader.dataset')
    (why,) = [f.why for f in found if f.where == 'val_dataloader.dataset.metainfo']
    assert 'reads `classes` of metainfo, not `CLASSES`' in why
