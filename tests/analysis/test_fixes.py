"""Every fix that ``mmdefect check`` prints works when it is pasted."""

from __future__ import annotations

import json
import sys

import pytest
from faulty_files import DROPPED, SECOND_HALF, coco, editing
from user_configs import BROKEN, KEEP, config, new, preserved, without

from mmdefect.analysis.check import check
from mmdefect.analysis.config import load_config
from mmdefect.analysis.fixes import new_config
from mmdefect.analysis.validation import check_validation
from mmdefect.checks.annotations import examine

pytest.importorskip('mmdet.datasets')

RUN = "train_dataloader['batch_sampler']"
OWN = "dict(plain, ann_file='{own}', metainfo=dict(classes={classes}))"


def own(*classes):
    return new(OWN.replace('{classes}', repr(classes)))


def chosen_without_normal_images(best):
    return config(
        'retinanet',
        new('plain'),
        "val_dataloader['dataset'].update(filter_cfg=dict(filter_empty_gt=True), "
        'test_mode=False)\n'
        f"default_hooks = dict(checkpoint=dict(save_best={best!r}, rule='greater'))",
    )


# A text, and what is changed in the annotation file that it calls {own}.
BROKEN_TEXTS = {
    **{name: (text, None) for name, (text, _) in BROKEN.items()},
    'no batch size': (
        config(
            'retinanet',
            'plain',
            "train_dataloader['_delete_'] = True",
            loader=without('batch_size'),
        ),
        None,
    ),
    'a loop by iterations that ends each pass': (
        config(
            'retinanet',
            KEEP,
            "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=9)",
        ),
        None,
    ),
    'hooks without that which resumes': (
        config('yolox', preserved('mosaic'), "custom_hooks = [dict(type='EMAHook')]"),
        None,
    ),
    'inherited hooks without that which resumes': (
        config('yolox', preserved('mosaic')),
        None,
    ),
    'a quota of two classes of three': (
        config('retinanet', new('plain'), f'{RUN}["quota"] = dict(pit=2, dent=1)'),
        None,
    ),
    'an optimizer step of half a quota': (
        config(
            'retinanet',
            new('plain'),
            f"train_dataloader['batch_size'] = 2\n{RUN}.update(quota=3, over=8)",
        ),
        None,
    ),
    'a class that is none': (
        config('retinanet', own('scratch', 'pit', 'OK')),
        lambda content: content['categories'][2].update(name='OK'),
    ),
    'a class left out': (config('retinanet', own('scratch', 'pit')), None),
    'a class misspelled': (config('retinanet', own('scratch', 'pit', 'dnet')), None),
    'images left out for their size': (
        config(
            'retinanet',
            new("dict(plain, ann_file='{own}', filter_cfg=dict(min_size=165))"),
        ),
        lambda content: [
            i.update(width=170, height=170) for i in content['images'][::2]
        ],
    ),
    'a class that one part of two leaves out': (
        config(
            'retinanet',
            new(
                "dict(type='ConcatDataset', datasets=[dict(plain, metainfo=dict("
                "classes=('scratch', 'pit')), indices=list(range(150))), "
                'dict(plain, indices=list(range(150, 300)))])'
            ),
        ),
        None,
    ),
    'a quota written over in a child config': (
        "_base_ = 'base.py'\nquota = 2",
        None,
    ),
    'a best checkpoint that no normal image decides': (
        chosen_without_normal_images('defect/auroc'),
        None,
    ),
    'two best checkpoints that no normal image decides': (
        chosen_without_normal_images(['defect/auroc', 'defect/recall']),
        None,
    ),
}


@pytest.fixture
def written(synthetic, tmp_path):
    """Writes a config, and the annotation file that it calls its own."""

    def write(text, change):
        content = json.loads((synthetic / 'annotations/train.json').read_text())
        if change:
            change(content)
        (tmp_path / 'own.json').write_text(json.dumps(content))
        base = config('retinanet', new('plain'), f'quota = 3\n{RUN}["quota"] = quota')
        for name, lines in (('base.py', base), ('config.py', text)):
            lines = lines.replace('{data}', str(synthetic))
            lines = lines.replace('{own}', str(tmp_path / 'own.json'))
            (tmp_path / name).write_text(lines)
        return tmp_path / 'config.py'

    return write


def findings_of_config(path):
    # What is mended in an annotation file needs no line of the config.
    findings, _ = check(str(path), None, 0)
    return [each for each in findings if '.json' not in each.where + each.fix]


@pytest.mark.parametrize('name', BROKEN_TEXTS)
def test_a_config_is_clean_once_its_fixes_are_pasted(written, name):
    path = written(*BROKEN_TEXTS[name])
    findings = findings_of_config(path)
    assert findings
    for number in range(3):  # what stops a check hides what comes after it
        for finding in findings:
            assert '...' not in finding.line
            assert bool(finding.line) == bool(finding.fix), finding
        lines = [finding.line for finding in findings]
        mended = path.with_name(f'mended_{number}.py')
        mended.write_text(new_config(str(path), lines, False))
        findings = findings_of_config(mended)
        if not findings:
            return
        path = mended
    raise AssertionError(findings)


@pytest.mark.parametrize('best', ['defect/auroc', ['defect/auroc', 'defect/recall']])
def test_a_best_checkpoint_that_could_never_be_chosen_is_told(written, best):
    path = written(chosen_without_normal_images(best), None)
    (found,) = check_validation(load_config(str(path), None))
    assert found.where == 'default_hooks.checkpoint.save_best'
    assert found.fix == "save_best='defect/recall'"
    # What is proposed needs no normal image.
    path = written(chosen_without_normal_images('defect/recall'), None)
    assert check_validation(load_config(str(path), None)) == []


def test_a_forgotten_import_keeps_those_of_the_user(written, monkeypatch):
    text = config('retinanet', new('plain'))
    text = text.replace("imports=['mmdefect']", "imports=['json']")
    path = written(text, None)
    monkeypatch.delitem(sys.modules, 'mmdefect.registered')
    finding, *_ = check(str(path), None, 0)[0]
    assert finding.where == 'custom_imports'
    path = path.with_name('mended.py')
    path.write_text(new_config('config.py', [finding.line], False))
    assert 'custom_imports' not in [f.where for f in check(str(path), None, 0)[0]]
    assert "['json', 'mmdefect']" in finding.line


def test_an_option_that_changes_nothing_is_mended_too(written):
    path = written("_base_ = 'base.py'", None)
    findings, _ = check(str(path), dict(quota=2), 0)
    line = '_base_.train_dataloader.batch_sampler.quota = 2'
    assert line in [finding.line for finding in findings]


# --- Annotation files ----------------------------------------------------------------

# By what the fix begins with, the change that it asks for.
DATA_FIXES = {
    '"area": width * height': lambda a: a.update(area=a['bbox'][2] * a['bbox'][3]),
    '"ignore": 0': lambda a: a.update(ignore=0),
    'each box from its top left': lambda a: a.update(bbox=[3, 3, 9, 9], area=81),
    'a box around the defect': lambda a: a.update(bbox=[3, 3, 9, 9], area=81),
    'four numbers': lambda a: a.update(bbox=[3, 3, 9, 9], area=81),
    'x and width times': lambda a: a.update(bbox=[64 * n for n in a['bbox']]),
    '"iscrowd": 0': lambda a: a.update(iscrowd=0),
    '"image_id": the same value': lambda a: a.update(image_id=int(a['image_id'])),
    '"category_id": the same': lambda a: a.update(category_id=int(a['category_id'])),
}


@pytest.mark.parametrize(
    'name', [name for name in DROPPED if name not in ('outside', 'no category')]
)
def test_an_annotation_file_is_clean_once_it_is_mended_as_told(name, tmp_path):
    """Where the boxes lie outside, or have no class, only the user knows which."""
    dataset = coco(tmp_path / 'broken', editing(name), SECOND_HALF)
    (finding,) = examine(dataset)
    (mend,) = [m for begin, m in DATA_FIXES.items() if finding.fix.startswith(begin)]

    def mended(annotation):
        editing(name)(annotation)
        mend(annotation)

    assert examine(coco(tmp_path / 'mended', mended, SECOND_HALF)) == []
