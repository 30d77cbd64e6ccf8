"""Names at the top of a config that change nothing, or that nothing reads."""

from __future__ import annotations

import ast
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Mapping

from mmdefect.checks.finding import Finding
from mmdefect.checks.keys import look_up

# What a training reads.
KEYS = (
    *('model', 'data_preprocessor', 'load_from', 'resume'),
    *('train_dataloader', 'val_dataloader', 'test_dataloader'),
    *('train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator', 'test_evaluator'),
    *('optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'model_wrapper_cfg'),
    *('default_hooks', 'custom_hooks', 'custom_imports', 'default_scope'),
    *('env_cfg', 'randomness', 'launcher', 'work_dir', 'experiment_name'),
    *('log_processor', 'log_level', 'visualizer', 'tta_model', 'tta_pipeline'),
)
# What the ready configs make of a name at their top, and nothing else of it.
PLACES = {
    'quota': 'train_dataloader.batch_sampler.quota',
    'over': 'train_dataloader.batch_sampler.over',
    'batch_size': 'train_dataloader.batch_size',
    'accumulative_counts': 'optim_wrapper.accumulative_counts',
}
# And among other things, such as learning rates.
ALSO = {'max_epochs': 'train_cfg.max_epochs', 'max_iters': 'train_cfg.max_iters'}
# How like a key a name has to be.
LIKE = 0.9


def check_top_names(cfg: Any, options: Mapping | None = None) -> list[Finding]:
    """Check that the names at the top of a config do what they seem to do.

    MMEngine sets the options of a command line when the config has made use of its
    names, and a base config makes use of its own. What nothing reads is no error.
    """
    names = [name for name in cfg if name not in KEYS]
    changed = list(options or ())
    if options is None:
        changed = _changes(cfg, _as_written(getattr(cfg, 'filename', None)))
    return [*_unread(cfg, names, changed), *_misspelled(names)]


def _misspelled(names: list[str]) -> Iterator[Finding]:
    for name in names:
        near = _nearest(name)
        if near:
            yield Finding(
                name,
                f'no such key; did you mean {near}?',
                'nothing reads it, and no error says so',
                '',
            )


def _nearest(name: str) -> str | None:
    return next(iter(get_close_matches(name, KEYS, 1, LIKE)), None)


def _unread(cfg: Any, names: list[str], options: list[str]) -> Iterator[Finding]:
    own = _own_names(getattr(cfg, 'filename', None))
    for name in names:
        value, place = cfg[name], {**PLACES, **ALSO}.get(name)
        made = look_up(cfg, place)[0] if place else None
        if made == value or _nearest(name):
            continue
        if name in options:
            why = 'an option is set when the config has made use of its names'
        elif made is not None and name in own and not _within(place, options):
            why = 'the base config has made use of its own'
        else:
            continue
        what = f'{name}={value!r} at the top of the config changes nothing'
        if name in PLACES:
            where, key = PLACES[name], PLACES[name].rpartition('.')[2]
            why += f'; the option that works is {where}={value}'
            yield Finding(where, f'{what}: here stands {made!r}', why, f'{key}={value}')
        else:
            why += '; edit the line in the config file itself'
            yield Finding(name, what, why, '')


def _within(place: str | None, options: list[str]) -> bool:
    # A dict is set key by key: quota._delete_=True quota.scratch=1.
    return any(f'{option}.'.startswith(f'{place}.') for option in options)


def _changes(cfg: Any, written: Mapping) -> list[str]:
    # The names and places that a config has otherwise than its file.
    if not written:
        return []
    known = {**PLACES, **ALSO}
    names = [n for n in cfg if n not in KEYS and (n in written or n in known)]
    changed = [n for n in names if cfg[n] != written.get(n)]
    return changed + [
        place
        for place in known.values()
        if look_up(cfg, place)[0] != look_up(written, place)[0]
    ]


@lru_cache(maxsize=1)
def _as_written(path: str | None) -> Mapping[str, Any]:
    # The config as its file has it.
    from mmengine.config import Config

    try:
        return Config.fromfile(path, import_custom_modules=False)
    except Exception:  # it may be gone, or never have been a file
        return {}


def _own_names(path: str | None) -> set[str]:
    # What the file of a config with a base assigns to, without its bases.
    try:
        text = Path(path or '').read_text(encoding='utf-8')
        statements = ast.parse(text).body
    except Exception:
        return set()
    names = {
        target.id
        for statement in statements
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    return names if '_base_' in names or 'read_base' in text else set()
