"""Torch reads MMEngine's checkpoints, and refuses whatever else a file asks for."""

from __future__ import annotations

import builtins
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.utils import digit_version

from mmdefect.hooks.checkpoints import allow_checkpoint_types

pytestmark = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6'),
    reason='torch < 2.6 loads whatever a checkpoint asks for',
)


class Call:
    """Is pickled as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Pickle wants a function that is to be called to be callable."""


def written(tmp_path, content):
    path = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': {}, 'content': content}, path)
    return path


@pytest.fixture(autouse=True)
def allowed():
    allow_checkpoint_types()


def test_the_message_hub_of_a_run_comes_back(tmp_path):
    hub = MessageHub('test_checkpoints')
    for value in (3.0, np.float32(1.5), torch.tensor(2.25)):
        hub.update_scalar('train/loss', value)
    hub.update_info('array', np.arange(4))
    hub.update_info('number', np.int64(5))
    path = written(tmp_path, hub.state_dict())
    again = torch.load(path)['content']
    assert torch.load(path, weights_only=True)['content'].keys() == again.keys()
    loss = again['log_scalars']['train/loss']
    assert [loss.min(3), loss.max(3), loss.mean(3)] == [1.5, 3.0, 2.25]
    assert loss.current() == 2.25
    assert again['runtime_info']['array'].tolist() == [0, 1, 2, 3]


# What a file may try with what is allowed, and with what is not.
ATTACKS = {
    'a command': lambda file: Call(os.system, f'touch {file}'),
    'eval': lambda file: Call(eval, f'open({str(file)!r}, "w")'),
    'exec': lambda file: Call(exec, f'open({str(file)!r}, "w")'),
    'open': lambda file: Call(open, str(file), 'w'),
    'import': lambda file: Call(__import__, 'antigravity'),
    'a nested command': lambda file: [{'deep': (Call(os.system, f'touch {file}'),)}],
    'globals of a method': lambda file: Call(
        getattr, Call(getattr, HistoryBuffer, 'mean'), '__globals__'
    ),
    'init of the class': lambda file: Call(getattr, HistoryBuffer, '__init__'),
    'globals of the class': lambda file: Call(getattr, HistoryBuffer, '__globals__'),
    'subclasses': lambda file: Call(getattr, HistoryBuffer, '__subclasses__'),
    'any function as a statistic': lambda file: Call(
        getattr, HistoryBuffer, 'register_statistics'
    ),
    'a nested attribute': lambda file: Call(getattr, HistoryBuffer, 'mean.__globals__'),
    'a file of an array': lambda file: Call(
        Call(getattr, np.arange(3), 'tofile'), str(file)
    ),
    'an attribute of an array': lambda file: Call(getattr, np.arange(3), 'mean'),
    'an attribute of a tensor': lambda file: Call(getattr, torch.zeros(2), 'mean'),
    'an attribute of a buffer': lambda file: Call(getattr, HistoryBuffer(), 'mean'),
    'an attribute of a name': lambda file: Call(getattr, 'HistoryBuffer', 'mean'),
    'a default': lambda file: Call(getattr, HistoryBuffer, 'x', 'mean'),
    'setattr': lambda file: Call(setattr, HistoryBuffer, 'mean', 1),
    'another getattr': lambda file: Call(HistoryBuffer.__getattribute__, 'mean'),
    'calling a statistic': lambda file: Call(
        Call(getattr, HistoryBuffer, 'mean'), HistoryBuffer()
    ),
    'a type of MMEngine': lambda file: Call(MessageHub, 'attack'),
}


@pytest.mark.parametrize('attack', ATTACKS)
def test_a_checkpoint_that_asks_for_more_is_refused(tmp_path, attack):
    file = tmp_path / 'done'
    path = written(tmp_path, ATTACKS[attack](file))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)
    assert not file.exists()


def test_nothing_of_builtins_is_allowed_as_it_is():
    own = [
        entry if isinstance(entry, tuple) else (entry, '')
        for entry in torch.serialization.get_safe_globals()
    ]
    functions = {entry for entry, _ in own}
    assert not functions & {
        getattr(builtins, name)
        for name in ('getattr', 'setattr', 'eval', 'exec', 'open', '__import__')
    }


def test_allowing_twice_changes_nothing():
    before = set(torch.serialization.get_safe_globals())
    allow_checkpoint_types()
    assert set(torch.serialization.get_safe_globals()) == before
