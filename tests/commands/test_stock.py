"""The stock config trains as long as the other, and differs in its sampling only."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from runner_configs import small_config

from mmdefect.commands.main import main


@pytest.fixture
def pair(synthetic, tmp_path):
    """A config with a quota, and what the tool makes of it."""
    quota = small_config(synthetic, tmp_path)
    quota.train_dataloader.batch_sampler.pop('num_batches')
    quota.dump(f'{tmp_path}/quota.py')
    out = tmp_path / 'new/stock.py'
    assert main(['stock', f'{tmp_path}/quota.py', str(out)]) == 0
    return quota, Config.fromfile(str(out))


def test_the_stock_config_differs_in_its_sampling_only(pair):
    quota, stock = (copy.deepcopy(cfg.to_dict()) for cfg in pair)
    stock_loader, loader = stock.pop('train_dataloader'), quota.pop('train_dataloader')
    assert stock_loader['dataset'] == loader['dataset']['dataset']
    for part in (stock_loader, loader):
        part.pop('dataset')
        part.pop('batch_sampler')
    assert stock_loader == loader
    hooks = [hook['type'] for hook in quota.pop('custom_hooks')]
    assert 'QuotaMonitorHook' in hooks
    hooks.remove('QuotaMonitorHook')
    assert [hook['type'] for hook in stock.pop('custom_hooks')] == hooks
    assert stock == quota


def test_weights_of_a_quota_are_no_weights_of_stock_sampling(synthetic, tmp_path):
    quota = small_config(synthetic, tmp_path)
    quota.train_dataloader.sampler.weights = 'class_balanced'
    quota.train_dataloader.batch_sampler.update(over=16)
    quota.dump(f'{tmp_path}/quota.py')
    assert main(['stock', f'{tmp_path}/quota.py', f'{tmp_path}/stock.py']) == 0
    stock = Config.fromfile(f'{tmp_path}/stock.py')
    batches = Runner.build_dataloader(stock.train_dataloader).batch_sampler
    assert batches.sampler.weights is None
    assert len(list(batches)) == 6


def test_stock_batches_are_plain_passes_over_all_images_for_as_many_iterations(pair):
    quota, stock = (
        Runner.build_dataloader(cfg.train_dataloader).batch_sampler for cfg in pair
    )
    assert len(quota) == len(stock) == len(list(stock))
    # The tail that fills no batch is left out of a pass.
    size = len(stock.sampler.dataset) // stock.batch_size * stock.batch_size
    drawn = [index for batch in stock for index in batch]
    assert len(drawn) > size
    assert len(set(drawn[:size])) == size
    assert drawn[:size] != sorted(drawn[:size])


def test_a_config_without_a_quota_is_refused_with_what_it_needs(
    synthetic, tmp_path, capsys
):
    cfg = small_config(synthetic, tmp_path)
    cfg.train_dataloader.pop('batch_sampler')
    cfg.dump(f'{tmp_path}/none.py')
    assert main(['stock', f'{tmp_path}/none.py', f'{tmp_path}/stock.py']) == 2
    assert 'QuotaBatchSampler' in capsys.readouterr().err
    assert not (tmp_path / 'stock.py').exists()


def test_a_missing_config_ends_in_one_line():
    command = [sys.executable, '-m', 'mmdefect', 'stock', 'missing.py', 'out.py']
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert 'missing.py does not exist' in done.stderr
    assert done.stderr.count('\n') == 1


def test_a_config_that_is_there_is_not_written_over(synthetic, tmp_path, capsys):
    small_config(synthetic, tmp_path).dump(f'{tmp_path}/quota.py')
    (tmp_path / 'mine.py').write_text('mine = 1\n')
    assert main(['stock', f'{tmp_path}/quota.py', f'{tmp_path}/mine.py']) == 2
    assert 'mine.py would be written over' in capsys.readouterr().err
    assert (tmp_path / 'mine.py').read_text() == 'mine = 1\n'


def test_check_does_not_ask_to_wrap_what_stock_sampling_unwrapped(
    pair, tmp_path, capsys
):
    main(['check', f'{tmp_path}/new/stock.py', '--batches', '1'])
    assert 'DefectPreservingDataset' not in capsys.readouterr().out


def test_the_stock_config_of_one_that_imports_classes_imports_mmdefect(
    synthetic, tmp_path
):
    quota = small_config(synthetic, tmp_path)
    quota.pop('custom_imports')
    quota.dump(f'{tmp_path}/base.py')
    (tmp_path / 'quota.py').write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n    from .base import *\n'
        'from mmdefect import QuotaBatchSampler\n'
        "train_dataloader['batch_sampler'] = dict(type=QuotaBatchSampler, quota=3)\n"
    )
    assert main(['stock', f'{tmp_path}/quota.py', f'{tmp_path}/stock.py']) == 0
    stock = Config.fromfile(f'{tmp_path}/stock.py')
    assert stock.custom_imports.imports == ['mmdefect']
