"""Show the pools of a config's training data, and what each quota would mean.

How many images show which class, how many stock batches would hold no defect,
and for each quota how long an epoch is and how often a defect image is drawn;
then which quota to begin with, and why. A config without a quota will do.

Numbers are for one GPU. With N of them an epoch has N times fewer batches and
draws each image as often; a run of as many iterations draws it N times more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import textwrap
from math import comb
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
from cfg_options import add_cfg_options
from check_config import (
    UnusableConfigError,
    build_hook,
    build_loader,
    running,
    schedules,
)
from command_line import Parser, whole
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

ROWS = 24  # batches that are drawn
LINES = 20  # rows of a table
NORMAL = '#d9d9d9'
COLOURS = ('#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#444444')

BALANCE = (
    'Buda et al., "A systematic study of the class imbalance problem in convolutional '
    'neural networks", Neural Networks 106, 2018: over-sampling does best where it '
    'ends the imbalance'
)
LIMIT = (
    "QuotaMonitorHook's MANY_DRAWS: the longest stock schedules of MMDetection (YOLOX, "
    'RTMDet) show an image that often'
)


class Row(NamedTuple):
    """What a quota means.

    Args:
        quota (int): Defect images in each batch.
        batches (int): Batches in an epoch.
        normals (int): Different normal images in the first epoch.
        draws_epoch (float): Draws of each defect image in an epoch, mean.
        draws_run (float): The same in the whole run.
    """

    quota: int
    batches: int
    normals: int
    draws_epoch: float
    draws_run: float


class Advice(NamedTuple):
    """A quota to begin with.

    Args:
        quota (int | None): Defect images in each batch, or None for stock sampling.
        reason (str): Why, in one sentence.
        source (str): Where the rule is from.
    """

    quota: int | None
    reason: str
    source: str


class Inspection(NamedTuple):
    """All that is known of a config's training data and batches.

    Args:
        config (str): The config.
        batches (QuotaBatchSampler): The config's own, or with the advised quota where
            it has none.
        has_quota (bool): Whether they are the config's own.
        stock (QuotaBatchSampler): Plain shuffled batches of the same images.
        run (tuple[int, str]): Length of the run, and its unit.
        draws (dict[str, float]): Draws of an image in the whole run, by pool, with the
            config's own quota.
        rows (list[Row]): By quota.
        advice (Advice): A quota to begin with.
    """

    config: str
    batches: Any
    has_quota: bool
    stock: Any
    run: tuple
    draws: dict
    rows: list
    advice: Advice

    @property
    def pools(self) -> dict[str, np.ndarray]:
        """dict[str, np.ndarray]: Indices by pool name."""
        return self.batches.sampler.pools

    @property
    def images(self) -> int:
        """int: Images in the dataset."""
        return len(self.batches.sampler.dataset)

    def overlap(self) -> dict[str, dict[str, int]]:
        """Count the images that show two classes, for each pair of them."""
        names = [n for n in self.batches.sampler.defect_classes if n in self.pools]
        defects = self.pools['defect']
        shown = np.zeros((len(names), len(defects)), np.float32)
        for row, name in zip(shown, names):
            row[np.searchsorted(defects, self.pools[name])] = 1
        counts = (shown @ shown.T).astype(int).tolist()
        return {name: dict(zip(names, row)) for name, row in zip(names, counts)}

    def own_quota(self) -> int | None:
        """The config's own quota, where it is one number for all defects."""
        counts = {share.pool: share.images for share in self.batches.plan.shares}
        plain = self.has_quota and counts.keys() == {'normal', 'defect'}
        return counts['defect'] if plain else None

    def empty_share(self) -> float:
        """Share of stock batches without a defect.

        Exact: a stock batch is drawn without replacement, so the number of defects in
        it is hypergeometric.
        """
        size, defects = self.batches.batch_size, len(self.pools['defect'])
        return comb(self.images - defects, size) / comb(self.images, size)


def parse_args(argv: list | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='examples:\n'
        '  python tools/inspect_dataset.py configs/defect_yolox.py\n'
        '  python tools/inspect_dataset.py configs/defect_yolox.py --save plan.png \\\n'
        '      --cfg-options train_cfg.max_epochs=50',
    )
    parser.add_argument('config', metavar='CONFIG', help='the config file')
    parser.add_argument(
        '--save', type=Path, metavar='PNG', help='draw the plan into this file'
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.save and args.save.suffix != '.png':
        parser.error(f'--save {args.save}: expected a name that ends in .png')
    if args.save and not args.save.parent.is_dir():
        parser.error(f'--save {args.save}: there is no directory {args.save.parent}')
    return args


# --- Inspecting ----------------------------------------------------------------------


def load_config(path: str, options: dict | None) -> Config:
    """Read a config, and make its modules known.

    Args:
        path (str): The config file.
        options (dict, optional): Settings that override it.

    Returns:
        Config: The config.

    Raises:
        UnusableConfigError: If it cannot be read, or trains on nothing.
    """
    with running(f'{path} cannot be read'):
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(options or {})

    from mmengine.registry import init_default_scope

    import mmdefect  # noqa: F401

    if 'dataset' not in (cfg.get('train_dataloader') or {}):
        raise UnusableConfigError(f'{path} has no train_dataloader.dataset')
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    return cfg


def has_quota(cfg: Config) -> bool:
    """Whether a config's batches come from ``QuotaBatchSampler``."""
    batch_sampler = cfg.train_dataloader.get('batch_sampler') or {}
    return 'QuotaBatchSampler' in str(batch_sampler.get('type'))


def inspect(config: str, options: dict | None) -> Inspection:
    """Inspect a config.

    Args:
        config (str): The config file.
        options (dict, optional): Settings that override it.

    Returns:
        Inspection: What is known.

    Raises:
        UnusableConfigError: If the config cannot be used.
    """
    cfg = load_config(config, options)
    run = run_length(config, cfg)
    own = has_quota(cfg)
    if 'batch_size' not in cfg.train_dataloader:
        raise UnusableConfigError(f'{config} has no train_dataloader.batch_size')
    if not own:
        for name in ('drop_last', 'shuffle'):  # torch refuses them beside these
            cfg.train_dataloader.pop(name, None)
        cfg.train_dataloader.update(
            sampler=dict(type='DefectPoolSampler'),
            batch_sampler=dict(type='QuotaBatchSampler', quota=None),
        )

    from mmengine.registry import DATASETS

    from mmdefect import QuotaBatchSampler
    from mmdefect.samplers.draws import draws_per_image

    with Console(stderr=True).status('reading the annotations'):
        with running('the training dataset cannot be built'):
            dataset = DATASETS.build(cfg.train_dataloader.dataset)
        with running('the training dataloader cannot be built'):
            batches = build_loader(cfg, dataset).batch_sampler
    written = cfg.train_dataloader.batch_sampler
    kept = ('drop_last', 'num_batches', 'infinite')
    settings = {name: written[name] for name in kept if name in written}

    def make(quota: int | None) -> Any:
        return QuotaBatchSampler(batches.sampler, batches.batch_size, quota, **settings)

    def draws(sampler: Any) -> dict[str, float]:
        length, unit = run
        steps = length * len(sampler) if unit == 'epochs' else length
        return draws_per_image(sampler, steps)

    if batches.batch_size < 2:
        raise UnusableConfigError(
            f'batch_size={batches.batch_size} has no place for a quota: expected 2 or '
            'more; set train_dataloader.batch_size'
        )
    for where, hook in schedules(cfg) if own else ():
        with running(f'{where} cannot be built'):
            build_hook(hook).apply(batches)
    with running('there is no quota for this data'):
        rows = [describe_quota(make(n), draws) for n in range(1, batches.batch_size)]
        stock = make(None)
        natural = batches.batch_size * len(batches.sampler.pools['defect'])
        natural /= len(dataset)
        advice = advise(rows, natural, run, make, draws)
    if not own:
        batches = make(advice.quota)
    own_draws = draws(batches) if own else {}
    return Inspection(config, batches, own, stock, run, own_draws, rows, advice)


def run_length(config: str, cfg: Config) -> tuple[int, str]:
    """Length of the training run of a config, and its unit."""
    train_cfg = cfg.get('train_cfg') or {}
    for key, unit in (('max_iters', 'iterations'), ('max_epochs', 'epochs')):
        length = train_cfg.get(key)
        if isinstance(length, int) and length > 0:
            return length, unit
    raise UnusableConfigError(
        f'{config} does not say how long it trains: expected train_cfg.max_epochs or '
        'train_cfg.max_iters, 1 or more'
    )


def describe_quota(batches: Any, draws: Callable[[Any], dict]) -> Row:
    """Tell what a quota means.

    Args:
        batches (QuotaBatchSampler): Batches with that quota.
        draws (Callable): Draws of an image in the whole run, by pool.

    Returns:
        Row: What it means.
    """
    from mmdefect.samplers.draws import draws_per_image

    plan = batches.plan
    normal = next(share.images for share in plan.shares if share.pool == 'normal')
    places = normal * plan.world_size * len(plan)
    return Row(
        batches.quota,
        len(batches),
        min(places, len(plan.pools['normal'])),
        draws_per_image(batches, len(batches))['defect'],
        draws(batches)['defect'],
    )


def advise(
    rows: list[Row],
    natural: float,
    run: tuple[int, str],
    make: Callable[[int], Any],
    draws: Callable[[Any], dict],
) -> Advice:
    """Say with which quota to begin.

    Args:
        rows (list[Row]): What each quota means.
        natural (float): Defect images in a stock batch, mean.
        run (tuple[int, str]): Length of the run, and its unit.
        make (Callable): The batches with a quota.
        draws (Callable): Draws of an image in the whole run, by pool.

    Returns:
        Advice: The quota.
    """
    from mmdefect.samplers.draws import MANY_DRAWS

    half = (len(rows) + 1) // 2
    length, unit = run
    fitting = [row for row in rows[:half] if row.draws_run <= MANY_DRAWS]
    most = (fitting or rows)[-1 if fitting else 0].quota
    if natural >= most:
        return Advice(
            None,
            f'stock batches hold {natural:.1f} defect images on average, and a quota '
            f'should not be above {most} here',
            f'{BALANCE}. {LIMIT}',
        )
    if fitting and fitting[-1].quota == half:
        often = f'{fitting[-1].draws_run:,.0f}'
        return Advice(
            half,
            'half a batch balances defect and normal images, and each defect image is '
            f'drawn about {often} times in the run, not more than {MANY_DRAWS}',
            f'{BALANCE}. {LIMIT}',
        )
    if fitting:
        return Advice(
            fitting[-1].quota,
            'it is the largest quota, up to half a batch, with which each defect image '
            f'is drawn at most {MANY_DRAWS} times in the run: about '
            f'{fitting[-1].draws_run:,.0f}, and {rows[len(fitting)].draws_run:,.3g} '
            'with one more',
            f'{LIMIT}. {BALANCE}',
        )
    least = f'even a quota of 1 draws each defect image {rows[0].draws_run:,.0f} times'
    by_epoch = unit == 'epochs'
    steps = rows[0].batches if by_epoch else 1

    def fits(end: int) -> bool:
        batches = make(1)
        batches.set_schedule([(end * steps, None)])
        return draws(batches)['defect'] <= MANY_DRAWS

    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low:
        return Advice(
            1,
            f'{least}, more than {MANY_DRAWS}, so end it earlier: custom_hooks=[dict('
            f"type='QuotaScheduleHook', milestones=[(0, 1), ({low}, None)], "
            f'by_epoch={by_epoch})]',
            LIMIT,
        )
    per_step = rows[0].draws_epoch / rows[0].batches
    shorter = int(MANY_DRAWS / (per_step * steps))
    key = 'max_epochs' if by_epoch and shorter else 'max_iters'
    shorter = shorter or int(MANY_DRAWS / per_step)
    return Advice(
        1,
        f'{least} in {length:,} {unit}, more than {MANY_DRAWS}: train for '
        f'{key}={shorter} at most, or add defect images',
        LIMIT,
    )


def pool_numbers(batches: Any) -> tuple[list[str], np.ndarray]:
    """Tell from which pool each image of a dataset is drawn.

    Args:
        batches (QuotaBatchSampler): The batches.

    Returns:
        tuple[list[str], np.ndarray]: Names of pools, ``normal`` first, and of each
        image the int64 position of its own among them. An image in several pools
        counts for the first that the quota names.
    """
    pools = batches.sampler.pools
    shares = [share.pool for share in batches.plan.shares]
    classes = batches.sampler.defect_classes
    further = [name for name in pools if name not in classes and name != 'normal']
    drawn = [name for name in shares if name not in ('normal', 'all')]
    names = ['normal', *dict.fromkeys([*drawn, *further])]
    numbers = np.zeros(len(batches.sampler.dataset), np.int64)
    for number in range(len(names) - 1, 0, -1):
        numbers[pools[names[number]]] = number
    return names, numbers


def sampling(plan: Any) -> str:
    """Say in words what the batches of a plan are made of."""
    counts = {share.pool: share.images for share in plan.shares}
    named = [f'{n} {pool}' for pool, n in counts.items() if pool != 'normal']
    if 'all' in counts:
        return 'stock sampling'
    noun = 'image' if named and named[-1].startswith('1 ') else 'images'
    return f'a quota of {" + ".join(named) or "no defect"} {noun}'


# --- Telling -------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share as people read it."""
    return f'{share:.1%}'.replace('%', ' %')


def show(found: Inspection) -> None:
    """Print everything for a reader."""
    console = Console(highlight=False)
    sampler, defects = found.batches.sampler, len(found.pools['defect'])
    normals = f'{len(found.pools["normal"]):,} normal'
    for what, number in sampler.annotated_normals.items():
        normals += f' ({number:,} of them with {what})'
    console.print(f'[bold]{found.config}[/]')
    console.print(
        f'{found.images:,} images: {normals}, {defects:,} with a defect '
        f'({percent(defects / found.images)})\n'
    )
    show_pools(console, found)
    size = found.batches.batch_size
    console.print(
        f'With stock sampling [bold]{percent(found.empty_share())}[/] of the batches '
        f'of {size} would hold no defect\n(exact: hypergeometric, as they are drawn '
        'without replacement).\n'
    )
    show_quotas(console, found)
    for name, number in found.draws.items():
        # The table tells it of one number for all defects, kept to the end.
        told = found.own_quota() and len(found.batches.plans) == 1
        if number and not told:
            console.print(
                f'This config draws each {name} image about {number:,.0f} times in '
                'the run.'
            )
    advice = found.advice
    console.print(f'[bold]Recommended: quota={advice.quota}[/]: {advice.reason}.')
    console.print(f'[dim]Source: {advice.source}.[/]')


def show_pools(console: Console, found: Inspection) -> None:
    """Print the pools, and which classes share images."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column('pool')
    for name in ('images', 'share'):
        table.add_column(name, justify='right')
    table.add_column('of these also show')
    overlap = found.overlap()
    names = [name for name in found.pools if name not in ('normal', 'defect')]
    for name in names[:LINES]:
        row = overlap.get(name, {})
        others = sorted((-n, other) for other, n in row.items() if n and other != name)
        shared = ', '.join(f'{other} {-n:,}' for n, other in others[:4])
        if len(others) > 4:
            shared += f', {len(others) - 4} more'
        count = len(found.pools[name])
        table.add_row(name, f'{count:,}', percent(count / found.images), shared)
    console.print(table)
    if len(names) > LINES:
        console.print(f'and {len(names) - LINES:,} more: --json has them all')
    console.print()


def show_quotas(console: Console, found: Inspection) -> None:
    """Print what each quota means."""
    length, unit = found.run
    size = found.batches.batch_size
    table = Table(title=f'Batches of {size}, {length:,} {unit}, one GPU')
    for name in (
        'quota',
        'batches\nan epoch',
        'normals\nan epoch',
        'draws of a defect\nimage an epoch',
        'in the\nwhole run',
    ):
        table.add_column(name, justify='right')
    table.add_column()
    every = -(-len(found.rows) // LINES)
    own = found.own_quota()
    for row in found.rows:
        marks = []
        if row.quota == own:
            marks.append('this config')
        if row.quota == found.advice.quota:
            marks.append('recommended')
        if marks or (row.quota - 1) % every == 0:
            table.add_row(
                str(row.quota),
                f'{row.batches:,}',
                f'{row.normals:,}',
                f'{row.draws_epoch:,.1f}',
                f'{row.draws_run:,.0f}',
                ', '.join(marks),
                style='bold' if row.quota == found.advice.quota else '',
            )
    console.print(table)


def as_json(found: Inspection) -> str:
    """Everything for a program."""
    length, unit = found.run
    said = {
        'config': found.config,
        'images': found.images,
        'pools': {name: len(pool) for name, pool in found.pools.items()},
        'overlap': found.overlap(),
        'defect_share': len(found.pools['defect']) / found.images,
        'batch_size': found.batches.batch_size,
        'stock_batches_without_defect': found.empty_share(),
        unit: length,
        'quota': found.batches.quota if found.has_quota else None,
        'draws_run': {name: number for name, number in found.draws.items() if number},
        'quotas': [row._asdict() for row in found.rows],
        'recommended': found.advice._asdict(),
    }
    return json.dumps(said, indent=2)


# --- Drawing -------------------------------------------------------------------------


def draw(found: Inspection, path: Path) -> None:
    """Draw the plan.

    Args:
        found (Inspection): What is known.
        path (Path): Picture to write.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    from mmdefect.samplers.draws import MANY_DRAWS

    figure = pyplot.figure(figsize=(11, 6.2), layout='constrained')
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.25))
    names, numbers = pool_numbers(found.batches)
    colours = [NORMAL, *itertools.islice(itertools.cycle(COLOURS), len(names) - 1)]
    title = sampling(found.batches.plan)
    for column, (name, batches) in enumerate(
        (('stock sampling', found.stock), (textwrap.fill(title, 36), found.batches))
    ):
        rows = np.array(list(itertools.islice(batches, ROWS)))
        axis = figure.add_subplot(grid[:, column])
        draw_batches(axis, numbers[rows], colours, np.isin(rows, found.pools['defect']))
        axis.set_title(name, fontsize=11, fontweight='bold', loc='left')
        if not column:
            axis.set_ylabel('batches of the first epoch')
    used = [n for n in range(len(names)) if n == 0 or (numbers == n).any()]
    figure.legend(
        [Patch(facecolor=colours[n]) for n in used],
        [f'{pool_title(names, n)} image' for n in used],
        loc='outside lower left',
        ncol=len(used),
        frameon=False,
    )
    for row, (title, values, limit) in enumerate(
        (
            (
                f'draws of each defect image in {found.run[0]:,} {found.run[1]}',
                [entry.draws_run for entry in found.rows],
                MANY_DRAWS,
            ),
            ('batches an epoch', [entry.batches for entry in found.rows], None),
        )
    ):
        axis = figure.add_subplot(grid[row, 2])
        axis.set_title(title, fontsize=11, loc='left')
        draw_curve(axis, values, found, limit)
    defects = len(found.pools['defect'])
    figure.suptitle(
        f'{found.images:,} images, {defects:,} with a defect '
        f'({percent(defects / found.images)}): {percent(found.empty_share())} of stock '
        f'batches of {found.batches.batch_size} hold none',
        fontsize=13,
    )
    with whole(path) as part:
        figure.savefig(part, dpi=120)
    pyplot.close(figure)


def pool_title(names: list[str], number: int) -> str:
    """What a colour stands for: ``defect`` beside some classes is the other ones."""
    name = names[number]
    return 'other defect' if name == 'defect' and number > 1 else name


def draw_batches(axis: Any, cells: np.ndarray, colours: list, defect: Any) -> None:
    """Draw batches as rows of squares, with the number of defects beside each.

    Args:
        axis (matplotlib.axes.Axes): Where.
        cells (np.ndarray): Of each image of each batch, the number of its colour.
        colours (list[str]): The colours.
        defect (np.ndarray): Whether an image shows a defect, of the same shape.
    """
    from matplotlib.colors import ListedColormap

    axis.pcolormesh(
        cells,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        edgecolors='white',
        linewidth=2 if cells.shape[1] <= 16 else 0.8,
    )
    axis.invert_yaxis()
    for row, count in enumerate(defect.sum(1).tolist()):
        axis.text(
            cells.shape[1] * 1.03,
            row + 0.5,
            str(count),
            va='center',
            fontsize=9,
            color='0.2' if count else '0.65',
        )
    empty = int((defect.sum(1) == 0).sum())
    axis.set_xlabel(f'{empty} of {len(cells)} batches without a defect')
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def draw_curve(axis: Any, values: list, found: Inspection, limit: int | None) -> None:
    """Draw a figure over the quota.

    Args:
        axis (matplotlib.axes.Axes): Where.
        values (list): The figure, of quota 1 and so on.
        found (Inspection): What is known.
        limit (int, optional): What the figure should stay below.
    """
    from matplotlib.ticker import FuncFormatter

    axis.plot(range(1, len(values) + 1), values, color='0.5', marker='.', zorder=1)
    own, best = found.own_quota(), found.advice.quota
    for quota, label, size in ((best, 'recommended', 11), (own, 'this config', 6)):
        if quota:
            colour = COLOURS[0] if quota == best and size > 6 else COLOURS[1]
            value = values[quota - 1]
            text = f'{label}: quota {quota}, {value:,.0f}'
            axis.plot(quota, value, 'o', color=colour, markersize=size, label=text)
    if limit:
        text = f'{limit}: beyond, likely learned by heart'
        axis.axhline(limit, color='0.3', linestyle='dashed', linewidth=1, label=text)
    axis.set_yscale('log')
    low, high = min([*values, limit or np.inf]), max([*values, limit or 0])
    axis.set_ylim(low / 2, high * (high / low) ** 0.5 * 2)  # room for the legend
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f'{y:,.0f}'))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel(f'quota: defect images in a batch of {len(values) + 1}')
    axis.legend(loc='upper left', fontsize=9, frameon=False)
    axis.grid(color='0.9', linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[['top', 'right']].set_visible(False)


def main(argv: list | None = None) -> int:
    """Inspect the config that the command line names.

    Returns:
        int: 0, or 2 where there is nothing to inspect.
    """
    args = parse_args(argv)
    try:
        found = inspect(args.config, args.cfg_options)
        if args.save:
            draw(found, args.save)
    except (UnusableConfigError, OSError) as error:
        print(f'inspect_dataset.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if args.json:
        print(as_json(found))
    else:
        show(found)
        if args.save:
            print(f'\n{args.save}: the plan as a picture')
    return 0


if __name__ == '__main__':
    sys.exit(main())
