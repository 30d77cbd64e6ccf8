"""A name at the top of a config that changes nothing is told, with what does."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from runner_configs import ROOT

from mmdefect.checks.top_names import check_top_names

READY = ROOT / 'configs/defect_yolox.py'
QUOTA = 'train_dataloader.batch_sampler.quota'


@pytest.fixture(params=['a command', 'a training'])
def found(tmp_path, request):
    """What is found in a config, with options, or in one that has it as its base.

    A training does not know the options.
    """

    def find(text='', **options):
        path = READY
        if text:
            path = tmp_path / 'child.py'
            path.write_text(f"_base_ = '{READY}'\n{text}")
        cfg = Config.fromfile(str(path))
        options = {key.replace('__', '.'): v for key, v in options.items()}
        cfg.merge_from_dict(options)
        return check_top_names(cfg, options if request.param == 'a command' else None)

    return find


def test_an_option_that_names_what_is_edited_is_told_with_the_option_that_works(found):
    epochs, quota = sorted(found(quota=2, max_epochs=60))
    assert (quota.where, quota.fix) == (QUOTA, 'quota=2')
    assert 'quota=2 at the top of the config changes nothing' in quota.what
    assert f'the option that works is {QUOTA}=2' in quota.why
    assert 'max_epochs=60' in epochs.what
    assert 'edit the line in the config file itself' in epochs.why
    (over,) = found(over=16)
    assert 'train_dataloader.batch_sampler.over=16' in over.why
    (scale,) = found(img_scale=(320, 320))
    assert 'edit the line' in scale.why


def test_a_child_config_that_sets_a_name_of_its_base_is_told(found):
    (quota,) = found('quota = 2')
    assert (quota.where, quota.fix) == (QUOTA, 'quota=2')
    assert 'the base config has made use of its own' in quota.why


@pytest.mark.parametrize(
    ('text', 'options'),
    [
        ('', {}),
        ('', {'train_dataloader__batch_sampler__quota': 2, 'train_cfg__max_epochs': 9}),
        ('', {'train_dataloader__batch_sampler__quota': 2, 'quota': 2}),
        ('', {f'{QUOTA}._delete_': True, f'{QUOTA}.scratch': 1}),
        ('train_dataloader = dict(batch_sampler=dict(quota=2))', {}),
        ('quota = 2\ntrain_dataloader = dict(batch_sampler=dict(quota=quota))', {}),
        ('data_file = "x"\ntrain_pipelines = []\nval_files = 3', {'load_from': 'x'}),
    ],
    ids=str,
)
def test_what_works_is_not_complained_of(found, text, options):
    assert found(text, **options) == []


def test_a_config_as_a_training_dumped_it_is_sound(tmp_path):
    cfg = Config.fromfile(str(READY))
    cfg.train_dataloader.batch_sampler.quota = None
    cfg.dump(str(tmp_path / 'stock.py'))
    assert check_top_names(Config.fromfile(str(tmp_path / 'stock.py'))) == []
    assert check_top_names(Config(dict(quota=1))) == []


def test_a_misspelled_key_is_told_with_the_right_one(found):
    (option,) = found(train_dataloder__batch_size=4)
    assert (option.where, option.fix) == ('train_dataloder', '')
    assert 'did you mean train_dataloader?' in option.what
    (line,) = found('default_hook = dict(logger=dict(interval=5))')
    assert 'did you mean default_hooks?' in line.what
