"""Find what breaks a quota of defect images in a config, before training.

First it looks for what silently breaks a quota: where it stands, why, and the fix.
Then it runs real batches through the real dataloader and counts which of the drawn
defect images still show their defect when they reach the model.

Exit status: 0 nothing found, 1 something found, 2 the config cannot be run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import warnings
from typing import Any, Iterator, NamedTuple

from cfg_options import add_cfg_options
from command_line import Parser, progress
from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Share of the drawn defect images that may lose their defect. As QuotaMonitorHook has.
TOLERANCE = 0.05


class UnusableConfigError(Exception):
    """Says why a config cannot be checked."""


class Count(NamedTuple):
    """Of the images of a pool: how many were drawn, and how many arrived as such."""

    pool: str
    quota: int  # images a batch that are drawn for this pool
    drawn: int
    delivered: int


class Delivery(NamedTuple):
    """What came of a number of batches."""

    batches: int
    counts: list
    replaced: int  # images in whose place another image arrived


def parse_args(argv: list | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='example: python tools/check_config.py configs/defect_yolox.py',
    )
    parser.add_argument('config', metavar='CONFIG', help='the config file')
    parser.add_argument(
        '--batches',
        type=int,
        default=200,
        metavar='N',
        help='batches to run, 0 for none (default: %(default)s)',
    )
    add_cfg_options(parser)
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args(argv)
    if args.batches < 0:
        parser.error(f'--batches {args.batches}: expected 0 or more')
    return args


# --- Checking ------------------------------------------------------------------------


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
    """Run the user's code: keep it quiet and turn its errors into one line."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            yield
        except Exception as error:
            lines = str(error).strip().splitlines() or ['no reason given']
            # A worker's error ends with what was raised in it.
            line = lines[-1] if lines[0].startswith('Caught ') else lines[0]
            said = f'{type(error).__name__}: {line}'
            raise UnusableConfigError(f'{what}: {said}') from error


def refused(error: UnusableConfigError) -> str | None:
    """What mmdefect itself says against a config, or None."""
    cause = error.__cause__
    trace = cause.__traceback__ if cause else None
    while trace and trace.tb_next:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get('__name__', '') if trace else ''
    return str(cause) if module.split('.')[0] == 'mmdefect' else None


def check(config: str, options: dict | None, batches: int) -> tuple[list, Any]:
    """Check a config.

    Returns:
        tuple: The findings, and the ``Delivery`` or None where no batch was run.
    """
    with running(f'{config} cannot be read'):
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(options or {})
        # A pure-Python config imports its classes when they are looked at.
        for part in (cfg.get('train_dataloader') or {}).values():
            if isinstance(part, dict):
                part.get('type')
    registered = 'mmdefect' in sys.modules

    from mmengine.registry import DATASETS, init_default_scope

    from mmdefect.checks.config import check_config
    from mmdefect.checks.finding import Finding

    findings = []
    if not registered:
        findings.append(
            Finding(
                'custom_imports',
                'mmdefect is not imported',
                'MMEngine does not know DefectPoolSampler',
                "custom_imports=dict(imports=['mmdefect'], allow_failed_imports=False)",
            )
        )
    if 'train_dataloader' not in cfg or 'dataset' not in cfg.train_dataloader:
        raise UnusableConfigError(f'{config} has no train_dataloader.dataset')
    init_default_scope(cfg.get('default_scope') or 'mmdet')

    def refusal(where: str, error: UnusableConfigError) -> Finding:
        said = refused(error)
        if said is None:
            raise error
        return Finding(where, said, 'training does not start', '')

    try:
        with running('the training dataset cannot be built'):
            dataset = DATASETS.build(cfg.train_dataloader.dataset)
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
    except UnusableConfigError as error:
        return [*findings, refusal('train_dataloader.dataset', error)], None
    with running('the hooks of the config cannot be checked'):
        findings += check_config(cfg, dataset)
    if any(finding.where in NEEDED for finding in findings):
        return findings, None
    try:
        with running('the training dataloader cannot be built'):
            loader = build_loader(cfg, dataset)
    except UnusableConfigError as error:
        found = refusal('train_dataloader', error)
        # What the samplers refuse may have been found, with its fix.
        if not any(
            found.what.startswith(f.where) or f.what in found.what for f in findings
        ):
            findings.append(found)
        return findings, None
    for where, hook in schedules(cfg):
        try:
            with running(f'{where} cannot be built'):
                build_hook(hook).apply(loader.batch_sampler)
        except UnusableConfigError as error:
            findings.append(refusal(where, error))
    if not batches:
        return findings, None
    with running('the batches cannot be loaded'):
        delivery = deliver(loader, batches)
    return findings + judge(delivery, findings), delivery


# Without these there are no batches with a quota to run.
NEEDED = (
    'train_dataloader.sampler',
    'train_dataloader.batch_sampler',
    'train_dataloader.batch_size',
    'train_dataloader.drop_last',
    'train_dataloader.shuffle',
)


def build_loader(cfg: Config, dataset: Any) -> Any:
    """Build the training dataloader as MMEngine does, around a built dataset."""
    from mmengine.runner import Runner, set_random_seed

    seed = (cfg.get('randomness') or {}).get('seed') or 0
    set_random_seed(seed)  # the same config, the same findings
    return Runner.build_dataloader({**cfg.train_dataloader, 'dataset': dataset}, seed)


def schedules(cfg: Config) -> Iterator[tuple[str, dict]]:
    """The quota schedules of a config, with their keys."""
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        if 'QuotaScheduleHook' in str(hook.get('type')):
            yield f'custom_hooks[{number}]', hook


def build_hook(hook: dict) -> Any:
    """Build a hook as MMEngine does."""
    from mmengine.registry import HOOKS

    return HOOKS.build({k: v for k, v in hook.items() if k != 'priority'})


def deliver(loader: Any, batches: int) -> Delivery:
    """Run batches, and compare what was drawn with what arrived."""
    from mmdefect.delivery.delivered import shown_labels
    from mmdefect.pools.wrappers import class_names, unwrap

    dataset, batch_sampler = loader.dataset, loader.batch_sampler
    pools, classes = batch_sampler.sampler.pools, class_names(unwrap(dataset)[0][0])
    defects = set(batch_sampler.sampler.defect_classes)
    members = {name: set(pool.tolist()) for name, pool in pools.items()}
    drawn = dict.fromkeys(pools, 0)
    arrived = dict.fromkeys(pools, 0)
    replaced = 0
    for indices, samples in track_batches(loader, batches):
        for index, sample in zip(indices, samples):
            shown = {classes[label] for label in shown_labels(sample)} & defects
            itself = sample.img_path == dataset.get_data_info(index)['img_path']
            replaced += not itself
            for name, pool in members.items():
                if index not in pool:
                    continue
                drawn[name] += 1
                if name == 'defect':
                    arrived[name] += bool(shown)
                elif name == 'normal':
                    arrived[name] += not shown
                else:
                    arrived[name] += name in shown if name in defects else itself
    quota = {share.pool: share.images for share in batch_sampler.plan.shares}
    counts = [
        Count(name, quota.get(name, 0), drawn[name], arrived[name])
        for name in pools
        if drawn[name]
    ]
    return Delivery(batches, counts, replaced)


def track_batches(loader: Any, batches: int) -> Iterator[tuple[list, list]]:
    """Indices and samples of so many batches, with progress."""

    def run() -> Iterator[tuple[list, list]]:
        epoch = 0
        while True:
            loader.batch_sampler.sampler.set_epoch(epoch)
            # The plan is a pure function: iterated twice, it says what was drawn.
            for indices, batch in zip(loader.batch_sampler, loader):
                yield indices, batch['data_samples']
            epoch += 1

    counted = (pair for pair, _ in zip(run(), range(batches)))
    yield from progress(counted, 'running batches', batches)


def judge(delivery: Delivery, findings: list) -> list:
    """Findings of a delivery that nothing found before explains."""
    from mmdefect.checks.finding import Finding

    if any(finding.breaks for finding in findings):
        return []
    where, fix = 'train_dataloader.dataset', 'pipeline=[...]  # take the cause out'
    judged = []
    for count in delivery.counts:
        lost = count.drawn - count.delivered
        if count.pool == 'normal' or not count.quota:
            continue
        if lost > TOLERANCE * count.drawn:
            what = f'{lost:,} of {count.drawn:,} drawn {count.pool} images show none'
            why = 'a transform cuts it away: take them out one by one'
            judged.append(Finding(where, what, why, fix))
    images = sum(c.drawn for c in delivery.counts if c.pool in ('normal', 'defect'))
    if delivery.replaced > TOLERANCE * images:
        what = f'in the place of {delivery.replaced:,} images another one arrived'
        why = 'a transform returns None, and MMDetection takes any other image'
        judged.append(Finding(where, what, why, fix))
    return judged


# --- Telling -------------------------------------------------------------------------


def show(findings: list, delivery: Delivery | None) -> None:
    """Print everything for a reader."""
    console = Console(highlight=False)
    for finding in findings:
        kind = '[bold red]finding[/]' if finding.breaks else '[bold yellow]note[/]'
        console.print(f'{kind} [bold]{finding.where}[/]')
        parts = Table.grid(padding=(0, 1))
        parts.add_row('  what', Text(finding.what))
        parts.add_row('  why', Text(finding.why))
        console.print(parts)
        if finding.fix:  # in one piece, so that it can be copied
            console.print(f'  fix  {finding.fix}', markup=False, soft_wrap=True)
        console.print()
    if delivery:
        show_delivery(console, delivery)
    for line in advice(findings, delivery):
        # What is to be copied stays in one piece.
        console.print(line, markup=False, soft_wrap=line.startswith('--'))


def advice(findings: list, delivery: Delivery | None) -> Iterator[str]:
    """What to do next."""
    broken = [finding for finding in findings if finding.breaks]
    if not broken:
        yield 'Nothing found that breaks the quota.'
        return
    things = '1 thing breaks' if len(broken) == 1 else f'{len(broken)} things break'
    yield f'{things} the quota. Write what stands behind `fix`, then run this again.'
    if delivery is None:
        yield 'No batch was run, so there may be more to find.'
    if any('...' in finding.fix for finding in broken):
        yield (
            '`...` is what is there now; of an inherited config, `_base_` and its key, '
            'such as `_base_.train_dataloader.dataset`.'
        )
    listed = [f for f in broken if '[' in f.where and f.where.endswith(key_of(f))]
    if listed:
        place = re.sub(r'\[(\d+)\]', r'.\1', listed[0].where)
        value = listed[0].fix.partition('=')[2]
        yield 'No config can change a part of an inherited list: write it anew, or add'
        yield f'--cfg-options {place}={value}'


def key_of(finding: Any) -> str:
    """The key that the fix of a finding sets."""
    return finding.fix.partition('=')[0]


def show_delivery(console: Console, delivery: Delivery) -> None:
    """Print drawn against delivered."""
    table = Table(title=f'{delivery.batches:,} batches, images of each pool')
    for name in ('pool', 'quota', 'drawn', 'delivered', 'share'):
        table.add_column(name, justify='left' if name == 'pool' else 'right')
    for pool, quota, drawn, delivered in delivery.counts:
        share = f'{delivered / drawn:.1%}'.replace('%', ' %')
        quoted = str(quota) if quota else ''
        table.add_row(pool, quoted, f'{drawn:,}', f'{delivered:,}', share)
    console.print(table)
    console.print(
        'Delivered: a defect image that still shows a defect (in the row of a class: '
        'that class), and a normal image without one.'
    )
    if delivery.replaced:
        console.print(f'{delivery.replaced:,} images were replaced by another image.')
    console.print()


def as_json(config: str, findings: list, delivery: Delivery | None) -> str:
    """Everything for a program."""
    said = {
        'config': config,
        'findings': [finding._asdict() for finding in findings],
        'delivery': delivery
        and {
            **delivery._asdict(),
            'counts': [count._asdict() for count in delivery.counts],
        },
    }
    return json.dumps(said, indent=2)


def main(argv: list | None = None) -> int:
    """Check the config that the command line names."""
    args = parse_args(argv)
    try:
        findings, delivery = check(args.config, args.cfg_options, args.batches)
    except UnusableConfigError as error:
        print(f'check_config.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    findings = sorted(findings, key=lambda finding: not finding.breaks)
    if args.json:
        print(as_json(args.config, findings, delivery))
    else:
        show(findings, delivery)
    return int(any(finding.breaks for finding in findings))


if __name__ == '__main__':
    sys.exit(main())
