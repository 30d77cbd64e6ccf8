"""What a validation set is counted by is what training draws by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from user_configs import config, new

from mmdefect.commands.main import main

TEXT = config(
    'retinanet',
    new("dict(plain, ann_file='{file}', metainfo=dict(classes=('crack', 'stamp')))"),
    "train_dataloader['sampler']['defect_classes'] = ['crack']\n"
    "val_dataloader['dataset'].update(ann_file='{file}', "
    "data_prefix=dict(img='train/'), metainfo=dict(classes=('crack', 'stamp')))\n"
    "val_evaluator = dict(type='DefectImageMetric', defect_classes=['crack'])\n"
    "default_hooks = dict(checkpoint=dict(save_best='defect/auroc', rule='greater'))",
)


@pytest.fixture
def stamped(synthetic, tmp_path):
    """A config on 10 images with a crack and 30 with a stamp, which is no defect."""
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    images = content['images'][:40]
    annotations = [
        dict(
            id=number,
            image_id=image['id'],
            category_id=1 if number < 10 else 2,
            bbox=[4, 4, 20, 20],
            area=400,
            iscrowd=0,
        )
        for number, image in enumerate(images)
    ]
    names = [dict(id=1, name='crack'), dict(id=2, name='stamp')]
    file = tmp_path / 'stamped.json'
    content = dict(images=images, annotations=annotations, categories=names)
    file.write_text(json.dumps(content))
    path = tmp_path / 'config.py'
    path.write_text(TEXT.replace('{file}', str(file)).replace('{data}', str(synthetic)))
    return str(path)


def test_images_of_classes_that_are_no_defect_validate_as_normal(stamped, capsys):
    main(['check', stamped, '--batches', '0', '--json'])
    found = json.loads(capsys.readouterr().out)['findings']
    assert not [f for f in found if 'validation images' in f['what']]
    main(['inspect', stamped, '--json'])
    validation = json.loads(capsys.readouterr().out)['validation']
    assert (validation['normal'], validation['defect']) == (30, 10)


def test_names_that_hide_all_defects_do_not_advise_to_keep_no_best_checkpoint(
    stamped, capsys
):
    classes = 'val_dataloader.dataset.metainfo.classes=["Crack","Stamp"]'
    options = ['--batches', '0', '--json', '--cfg-options', classes]
    main(['check', stamped, *options])
    found = json.loads(capsys.readouterr().out)['findings']
    assert any("'crack' where the class is 'Crack'" in f['what'] for f in found)
    assert not any('save_best' in f['where'] for f in found)


@pytest.mark.parametrize('names', [('defect', 'stamp'), ('defect',)])
def test_inspect_counts_a_class_called_defect_by_itself(stamped, capsys, names):
    path = Path(stamped)
    annotations = path.parent / 'stamped.json'
    content = json.loads(annotations.read_text().replace('"crack"', '"defect"'))
    content['annotations'] = content['annotations'][:30]
    annotations.write_text(json.dumps(content))
    config = path.read_text().replace("['defect_classes'] = ['crack']", "['seed'] = 0")
    config = config.replace("defect_classes=['crack']", '')
    path.write_text(config.replace("('crack', 'stamp')", str(names)))
    main(['inspect', stamped, '--json'])
    said = json.loads(capsys.readouterr().out)
    assert said['shown'] == dict(zip(names, (10, 20)))
    main(['inspect', stamped])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['defect', '10'] in [row[:2] for row in rows]
