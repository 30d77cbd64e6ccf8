"""A config, read as training reads it, with what goes wrong said in one line."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

from mmdefect.analysis.errors import UnusableError

if TYPE_CHECKING:
    from mmengine.config import Config


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
    """Run the user's code: keep it quiet and turn its errors into one line."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            yield
        except UnusableError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or ['no reason given']
            # A worker's error ends with what was raised in it.
            line = lines[-1] if lines[0].startswith('Caught ') else lines[0]
            said = line if is_ours(error) else f'{type(error).__name__}: {line}'
            raise UnusableError(f'{what}: {said}') from error


def is_ours(error: BaseException) -> bool:
    """Whether mmdefect itself raised an error: then its text says all."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get('__name__', '') if trace else ''
    return module.split('.')[0] == 'mmdefect'


@contextlib.contextmanager
def told_of_quota() -> Iterator[None]:
    """Say how a quota by class takes the place of one that is a number."""
    try:
        yield
    except TypeError as error:
        if 'quota=' not in str(error) or '_delete_' not in str(error):
            raise
        key = 'train_dataloader.batch_sampler.quota'
        raise TypeError(
            'a quota by class cannot be merged into the number that it inherits: write '
            'quota=dict(_delete_=True, crack=1, ...), with the names of your classes, '
            f'or as options {key}._delete_=True {key}.crack=1'
        ) from error


def read_config(path: str, options: dict | None) -> Config:
    """Read a config."""
    from mmengine.config import Config

    if not Path(path).is_file():
        ready = Path(path).parts[:1] == ('configs',)
        hint = '; `mmdefect configs .` copies the ready configs' if ready else ''
        raise UnusableError(f'{path} does not exist{hint}')
    with running(f'{path} cannot be read'), told_of_quota():
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(options or {})
        # A pure-Python config imports its classes when they are looked at.
        for part in (cfg.get('train_dataloader') or {}).values():
            if isinstance(part, dict):
                part.get('type')
    return cfg


def warn(text: str) -> None:
    """Warn on the screen, and not in what a program reads."""
    print(f'warning: {text}', file=sys.stderr)


def load_config(path: str, options: dict | None) -> Config:
    """Read a config, and make its modules known."""
    from mmengine.registry import init_default_scope

    import mmdefect.registered  # noqa: F401
    from mmdefect.checks.top_names import check_top_names

    cfg = read_config(path, options)
    for finding in check_top_names(cfg, options or {}):
        warn(str(finding))
    if 'dataset' not in (cfg.get('train_dataloader') or {}):
        raise UnusableError(f'{path} has no train_dataloader.dataset')
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    return cfg


def unformatted(cfg: Config) -> Config:
    """The same config, no longer laid out where it is printed, which takes seconds."""
    # An argument of Config since MMEngine 0.8.
    vars(cfg)['_format_python_code'] = False
    return cfg


def is_pure_python(path: str) -> bool:
    """Whether a config is of MMEngine's pure-Python style."""
    from mmengine.config import Config

    # MMEngine decides by what a config imports, and keeps the decision to itself.
    decide = getattr(Config, '_is_lazy_import', None)
    return bool(decide and decide(path))


def has_quota(cfg: Config) -> bool:
    """Whether a config's batches come from ``QuotaBatchSampler``."""
    batch_sampler = cfg.train_dataloader.get('batch_sampler') or {}
    return 'QuotaBatchSampler' in str(batch_sampler.get('type'))


def run_length(config: str, cfg: Config) -> tuple[int, str]:
    """Length of the training run of a config, and its unit."""
    train_cfg = cfg.get('train_cfg') or {}
    for key, unit in (('max_iters', 'iterations'), ('max_epochs', 'epochs')):
        length = train_cfg.get(key)
        if isinstance(length, int) and length > 0:
            return length, unit
    raise UnusableError(
        f'{config} does not say how long it trains: expected train_cfg.max_epochs or '
        'train_cfg.max_iters, 1 or more'
    )
