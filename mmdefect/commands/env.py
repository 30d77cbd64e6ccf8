"""Print what a bug report needs: versions of the whole stack, registered classes."""

from __future__ import annotations

import argparse
import platform
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Callable, Sequence

import mmdefect
from mmdefect.commands.command_line import Parser

# What is imported, and the distributions that bring it. More than one of them at once
# is a fault that a report has to show: they write into the same packages.
DISTRIBUTIONS = {
    'torch': ['torch'],
    'numpy': ['numpy'],
    'opencv': [
        'opencv-python',
        'opencv-python-headless',
        'opencv-contrib-python',
        'opencv-contrib-python-headless',
    ],
    'mmengine': ['mmengine', 'mmengine-lite', 'onedl-mmengine'],
    'mmcv': ['mmcv', 'mmcv-lite', 'onedl-mmcv'],
    'mmdet': ['mmdet', 'onedl-mmdetection'],
    'pycocotools': ['pycocotools'],
    'mim': ['openmim', 'onedl-mim'],
}


def versions() -> dict[str, str]:
    """Versions of the whole stack."""
    return {
        'mmdefect': f'{mmdefect.__version__} in {Path(mmdefect.__file__).parent}',
        'python': f'{platform.python_version()} ({sys.executable})',
        'platform': platform.platform(),
        **{name: installed(names) for name, names in DISTRIBUTIONS.items()},
        'CUDA': answer(cuda),
        'GPU': answer(gpus),
        'mmcv.ops': answer(compiled_ops),
    }


def installed(distributions: list[str]) -> str:
    """Versions of those distributions that are installed, with their names."""
    found = []
    for name in distributions:
        try:
            found.append(f'{name} {version(name)}')
        except PackageNotFoundError:
            continue
    return ' and '.join(found) or 'not installed'


def answer(ask: Callable[[], str]) -> str:
    """What a library says, or why it cannot: reports are for when things break."""
    try:
        return ask()
    except ModuleNotFoundError as error:
        return f'not loaded: {error}'
    except Exception as error:  # whatever a library of another torch raises
        line, *_ = str(error).splitlines() or ['no reason given']
        return f'broken: {type(error).__name__}: {line}'


def cuda() -> str:
    """The CUDA that torch was compiled for."""
    import torch

    return torch.version.cuda or 'not in this torch'


def gpus() -> str:
    """Names of the GPUs that torch can use."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(number) for number in range(count)]
    counts = [f'{names.count(name)} x {name}' for name in dict.fromkeys(names)]
    return ', '.join(counts) or 'none that torch can use'


def compiled_ops() -> str:
    """Whether mmcv's compiled ops load: they are built for one version of torch."""
    from mmcv.ops import get_compiling_cuda_version

    compiled = get_compiling_cuda_version()
    without = compiled == 'not available'
    return f'loaded, compiled {"without CUDA" if without else f"for CUDA {compiled}"}'


def registered() -> dict[str, list[str]]:
    """What a config can name, because mmdefect registered it."""
    import mmengine.registry
    from mmengine.registry import Registry

    from mmdefect import registered as public

    found = {}
    for name, registry in vars(mmengine.registry).items():
        if isinstance(registry, Registry):
            ours = set(registry.module_dict) & set(public.__all__)
            if ours:
                found[name] = sorted(ours)
    return found


def registrations() -> str:
    """The registries, a line each."""
    return '\n'.join(f'{name}: {", ".join(c)}' for name, c in registered().items())


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    return Parser(
        prog='mmdefect env',
        description=__doc__,
        epilog='example:\n  mmdefect env > report.txt',
    ).parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Print everything, a line each."""
    for name, value in versions().items():
        print(f'{name + ":":13}{value}')
    print('\nregistered with MMEngine:')
    print(textwrap.indent(answer(registrations), '  '))
    return 0
