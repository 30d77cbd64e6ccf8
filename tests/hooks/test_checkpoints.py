"""Torch reads MMEngine's checkpoints, and refuses whatever else a file asks for."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version
from tiny_runner import train

from mmdefect.hooks.checkpoints import message_hub_allowed

guarded = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6')
    or hasattr(mmengine_checkpoint, 'get_torch_safe_globals'),
    reason='torch < 2.6 loads whatever a checkpoint asks for, onedl-mmengine tries to',
)
multiarray = (getattr(np, '_core', None) or np.core).multiarray
ONE_EPOCH = dict(type='EpochBasedTrainLoop', max_epochs=1)


class Call:
    """Is pickled as a call of a function, and a state for what it returns."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args, state)

    def __reduce__(self):
        return self.call if self.call[2] is not None else self.call[:2]

    def __call__(self):
        """Pickle wants a function that is to be called to be callable."""


def written(path, content):
    torch.save({'state_dict': {}, 'content': content}, path)
    return path


def written_raw(path, opcodes):
    """A checkpoint of opcodes that ``pickle`` does not write."""
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('archive/data.pkl', opcodes)
        file.writestr('archive/version', '3\n')
        file.writestr('archive/byteorder', sys.byteorder)
    return path


def load(path):
    with message_hub_allowed():
        return CheckpointLoader.load_checkpoint(str(path), 'cpu')['content']


# --- what a run saves --------------------------------------------------------


NUMBERS = {
    f'{array.dtype.str} {array.shape}': array
    for array in (
        *(np.arange(6).astype(code) for code in np.typecodes['AllInteger'] + 'efdFD'),
        np.array([True, False]),
        np.arange(6, dtype='>i4'),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24).reshape(2, 3, 4)[:, ::2],
        np.zeros((0, 3), np.float32),
        np.array(2.5),
    )
}


def test_the_message_hub_of_a_run_comes_back(tmp_path):
    hub = MessageHub('test_checkpoints')
    for value in (3.0, np.float32(1.5), torch.tensor(2.25)):
        hub.update_scalar('train/loss', value)
    hub.update_info('arrays', NUMBERS)
    hub.update_info('numbers', {name: a.reshape(-1)[:1] for name, a in NUMBERS.items()})
    path = written(tmp_path / 'first.pth', hub.state_dict())
    for again in (load(path), load(written(tmp_path / 'again.pth', load(path)))):
        loss = again['log_scalars']['train/loss']
        assert type(loss) is HistoryBuffer
        assert [type(array) for array in loss.data] == [np.ndarray] * 2
        assert [loss.min(3), loss.max(3), loss.mean(3)] == [1.5, 3.0, 2.25]
        assert loss.statistics('mean', 2) == (1.5 + 2.25) / 2
        loss.update(7.0)
        assert loss.current() == 7.0
        fresh = MessageHub(f'test_checkpoints {id(again)}')
        fresh.load_state_dict(again)
        for name, array in fresh.get_info('arrays').items():
            assert type(array) is np.ndarray
            assert array.dtype == NUMBERS[name].dtype.newbyteorder('=')
            assert np.array_equal(array, NUMBERS[name])
            array += np.ones_like(array)  # it may be written to
    # Whoever loads it next may not have mmdefect.
    assert b'mmdefect' not in (tmp_path / 'again.pth').read_bytes()


@pytest.mark.parametrize(
    'number', [n.reshape(-1)[1] for n in NUMBERS.values() if n.size > 1]
)
def test_a_single_number_comes_back(tmp_path, number):
    again = load(written(tmp_path / 'checkpoint.pth', number))
    assert type(again) is type(number)
    assert again == number


@guarded
@pytest.mark.parametrize('package', ['core', '_core'])
def test_a_checkpoint_of_either_major_version_of_numpy_is_read(package, tmp_path):
    content = [np.arange(3.0), np.float64(2.5)]
    written(tmp_path / 'own.pth', content)
    with zipfile.ZipFile(tmp_path / 'own.pth') as file:
        (name,) = (n for n in file.namelist() if n.endswith('data.pkl'))
        opcodes = file.read(name)
    own = multiarray.__name__.encode()  # numpy._core.multiarray since NumPy 2
    assert opcodes.count(own + b'\n') == 2
    named = opcodes.replace(own + b'\n', f'numpy.{package}.multiarray\n'.encode())
    numbers, number = load(written_raw(tmp_path / 'other.pth', named))
    assert numbers.tolist() == [0, 1, 2]
    assert number == 2.5


@guarded
def test_the_list_of_torch_is_longer_for_no_more_than_the_loading(tmp_path):
    train(tmp_path, ONE_EPOCH)
    torch.serialization.add_safe_globals([MessageHub, np.ndarray])
    before = set(torch.serialization.get_safe_globals())
    try:
        train(tmp_path, ONE_EPOCH, resume=tmp_path / 'iter_3.pth')
        assert set(torch.serialization.get_safe_globals()) == before
        bad = written(tmp_path / 'bad.pth', Call(os.system, 'true'))
        with pytest.raises(pickle.UnpicklingError):
            train(tmp_path, ONE_EPOCH, resume=bad)
        assert set(torch.serialization.get_safe_globals()) == before
    finally:
        torch.serialization.clear_safe_globals()


def test_a_run_publishes_its_last_checkpoint(tmp_path):
    publish = dict(
        type='CheckpointHook', interval=1, published_keys=['meta', 'state_dict']
    )
    train(tmp_path, ONE_EPOCH, hooks=[publish])
    (published,) = tmp_path.glob('epoch_1-*.pth')
    assert set(torch.load(published)) == {'meta', 'state_dict'}


# --- what a file may try -----------------------------------------------------


def dtype(code, state=None, **changed):
    """A dtype as NumPy pickles it, with parts of its state changed."""
    keys = ('version', 'order', 'subarray', 'names', 'fields', 'size', 'alignment')
    honest = dict(zip(keys, np.dtype(code).__reduce__()[2]))
    honest['flags'] = np.dtype(code).__reduce__()[2][7]
    own = tuple({**honest, **changed}.values())
    return Call(np.dtype, code, False, True, state=own if state is None else state)


def array(kind, data=bytes(8), shape=(1,)):
    return Call(
        multiarray._reconstruct, np.ndarray, (0,), b'b', state=(1, shape, kind, 0, data)
    )


def buffer(**changed):
    one = np.ones(1)
    state = dict(_log_history=one, _count_history=one, max_length=9)
    return Call(HistoryBuffer, state={**state, **changed})


TARGET = 'what a pointer points to'
POINTER = ctypes.c_size_t(id(TARGET))
FIELDS = dict(names=('a',), fields={'a': (np.dtype('f8'), 0)}, size=8, alignment=1)
ATTACKS = {
    # functions
    'a command': lambda file: Call(os.system, f'touch {file}'),
    'eval': lambda file: Call(eval, f'open({str(file)!r}, "w")'),
    'exec': lambda file: Call(exec, f'open({str(file)!r}, "w")'),
    'open': lambda file: Call(open, str(file), 'w'),
    'import': lambda file: Call(__import__, 'antigravity'),
    'a nested command': lambda file: [{'deep': (Call(os.system, f'touch {file}'),)}],
    'a type of MMEngine': lambda file: Call(MessageHub, 'attack'),
    'setattr': lambda file: Call(setattr, HistoryBuffer, 'mean', 1),
    # getattr
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
    'another getattr': lambda file: Call(HistoryBuffer.__getattribute__, 'mean'),
    'calling a statistic': lambda file: Call(
        Call(getattr, HistoryBuffer, 'mean'), HistoryBuffer()
    ),
    # numbers taken for pointers
    'an object as a number': lambda file: array(
        dtype('O', flags=0), ctypes.string_at(ctypes.byref(POINTER), 8)
    ),
    'a pointer to nowhere': lambda file: array(dtype('O', flags=0), b'\x01' * 8),
    'objects': lambda file: array(dtype('O'), [TARGET]),
    'a number with the flags of an object': lambda file: array(
        dtype('f8', flags=63), b'\x01' * 8
    ),
    'flags for a number of its own': lambda file: Call(
        multiarray.scalar, dtype('f8', flags=63), b'\x01' * 8
    ),
    'an object as a scalar': lambda file: Call(
        multiarray.scalar, dtype('O', flags=0), b'\x01' * 8
    ),
    # other kinds of dtypes
    'an array in a number': lambda file: array(
        dtype('f8', subarray=(np.dtype('O'), (2,)), size=16)
    ),
    'fields in a number': lambda file: array(dtype('f8', **FIELDS)),
    'fields': lambda file: array(np.dtype([('a', 'f8')])),
    'fields of objects': lambda file: array(
        dtype('V8', **{**FIELDS, 'fields': {'a': (np.dtype('O'), 0)}})
    ),
    'another size': lambda file: array(dtype('f8', size=1 << 20, alignment=8)),
    'metadata': lambda file: array(dtype('f8', (4, '<', *[None] * 3, -1, -1, 0, {}))),
    'no state': lambda file: array(dtype('f8', (3, '<'))),
    'an unknown order': lambda file: array(dtype('f8', order='x')),
    'bytes without a type': lambda file: array(dtype('V8')),
    'text': lambda file: array(dtype('U2')),
    'strings of bytes': lambda file: array(dtype('S8')),
    'dates': lambda file: array(dtype('M8[s]')),
    'numbers that differ by machine': lambda file: array(dtype('g'), bytes(16)),
    'a dtype by class': lambda file: array(Call(type(np.dtype('O')))),
    'a dtype by list': lambda file: array(Call(np.dtype, [('a', 'O')], False, True)),
    # arrays that are none
    'an array of any class': lambda file: Call(
        multiarray._reconstruct, HistoryBuffer, (0,), b'b'
    ),
    'an array that is called': lambda file: Call(np.ndarray, (1 << 20,), 'O'),
    'too many numbers': lambda file: array(dtype('f8'), shape=(1000,)),
    'too many bytes': lambda file: array(dtype('f8'), bytes(80)),
    'fewer than none': lambda file: array(dtype('f8'), shape=(-1, -1)),
    'more than memory': lambda file: array(dtype('f8'), shape=(1 << 62, 4)),
    'part of a number': lambda file: Call(multiarray.scalar, dtype('f8'), bytes(4)),
    'several numbers in one': lambda file: Call(
        multiarray.scalar, dtype('f8'), bytes(16)
    ),
    'no bytes': lambda file: array(dtype('f8'), [1.0]),
    'another state': lambda file: Call(
        multiarray._reconstruct, np.ndarray, (0,), b'b', state=(1, 2)
    ),
    # buffers that are none
    'a buffer of lists': lambda file: buffer(_log_history=[1.0]),
    'a buffer of calls': lambda file: buffer(_count_history=torch.Tensor),
    'a buffer without end': lambda file: buffer(max_length=torch.Tensor),
    'a buffer of different lengths': lambda file: buffer(_log_history=np.ones(5)),
    'a buffer with arguments': lambda file: Call(HistoryBuffer, [TARGET], [1]),
    'a buffer without a state': lambda file: Call(HistoryBuffer, state={'a': 1}),
}


def verdict(path, pipe):
    try:
        content = load(path)
        pipe.send(f'loaded {content!r}')
        del content
    except (pickle.UnpicklingError, TypeError, ValueError, AssertionError) as error:
        pipe.send(f'refused: {type(error).__name__} {error}')


def tried(path):
    """What loading a file comes to, in a process that may crash."""
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=verdict, args=(path, theirs))
    process.start()
    theirs.close()
    try:
        said = ours.recv()
    except EOFError:
        said = 'crashed'
    process.join()
    return said if process.exitcode == 0 else f'crashed after: {said}'


@guarded
@pytest.mark.parametrize('attack', ATTACKS)
def test_a_checkpoint_that_asks_for_more_is_refused(tmp_path, attack):
    file = tmp_path / 'done'
    said = tried(written(tmp_path / 'checkpoint.pth', ATTACKS[attack](file)))
    assert said.startswith('refused')
    assert not file.exists()


@guarded
def test_a_checkpoint_cannot_free_the_numbers_of_a_tensor(tmp_path):
    def opcodes(thing):
        return pickle.dumps(thing, protocol=2)[2:-1]  # without PROTO and STOP

    size = 1 << 16
    numbers = opcodes(array(dtype('f8'), b'\x01' * 8 * size, (size,)))
    rebuild = b'ctorch._utils\n_rebuild_device_tensor_from_numpy\n'
    arguments = b'(h\xf0ctorch\nfloat64\nX\x03\0\0\0cpu\x89t'
    another = opcodes((1, (1,), dtype('f8'), 0, bytes(8)))
    key = b'X\x07\0\0\0content'
    path = written_raw(
        tmp_path / 'checkpoint.pth',
        # {'content': (array, tensor of its numbers, array with another state)}
        b'\x80\x02}' + key + numbers + b'q\xf0' + rebuild + arguments + b'R'
        # BUILD, TUPLE3, SETITEM, STOP
        b'h\xf0' + another + b'b'
        b'\x87'
        b's.',
    )
    assert 'array that changes' in tried(path)
