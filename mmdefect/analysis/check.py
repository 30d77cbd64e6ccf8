"""All that breaks the quota of a config, in what it says and in what it delivers."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, Iterable

import mmdefect
from mmdefect.analysis.box_sizes import check_boxes, measure_boxes
from mmdefect.analysis.config import is_ours, is_pure_python, read_config, running
from mmdefect.analysis.dataloader import (
    build_hook,
    build_loader,
    build_split,
    load_batches,
    schedules,
)
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.failures import why_replaced, why_unreadable
from mmdefect.analysis.fixes import statement
from mmdefect.analysis.tracking import Track, untracked
from mmdefect.analysis.validation import check_validation
from mmdefect.checks.annotations import examine
from mmdefect.checks.config import check_config, defect_classes_of
from mmdefect.checks.dataset import WRAP
from mmdefect.checks.finding import Finding
from mmdefect.checks.optimizer_step import (
    accumulated_batches,
    check_optimizer_step,
    describe_optimizer_step,
)
from mmdefect.checks.pools import check_drawn, check_draws
from mmdefect.checks.top_names import check_top_names
from mmdefect.delivery.delivered import Delivery, count_delivery
from mmdefect.pools.forms import COUNTEREXAMPLE

if TYPE_CHECKING:
    from mmengine.config import Config

# Share of the drawn defect images that may lose their defect. As QuotaMonitorHook has.
TOLERANCE = 0.05


def check(
    config: str, options: dict | None, batches: int, track: Track = untracked
) -> tuple[list[Finding], Delivery | None]:
    """Check a config."""
    from mmengine.registry import init_default_scope

    before = set(sys.modules)
    cfg = read_config(config, options)
    findings = _check_imports(cfg, set(sys.modules) - before)
    from mmdefect import registered as _  # noqa: F401

    if 'train_dataloader' not in cfg or 'dataset' not in cfg.train_dataloader:
        raise UnusableError(f'{config} has no train_dataloader.dataset')
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    found: list[Finding] = []
    dataset, delivery = None, None
    try:
        with running('the training dataset cannot be built'):
            dataset = build_split(cfg, 'train')
        found, delivery = _check(cfg, dataset, batches, track)
    except UnusableError as error:
        if dataset is not None:
            raise
        found = [_refusal('train_dataloader.dataset', error)]
    findings += [*check_top_names(cfg, options or {}), *found]
    findings += check_validation(cfg, dataset)
    pure = is_pure_python(config)

    def with_line(finding: Finding) -> Finding:
        line = statement(finding, cfg, pure)
        # Such a config knows no `_delete_`: nothing but the line will do.
        return finding._replace(line=line, fix=(pure and line) or finding.fix)

    once = dict.fromkeys(findings)  # both sets may read one file
    return [with_line(finding) for finding in once], delivery


def _refusal(where: str, error: UnusableError) -> Finding:
    # What mmdefect itself says against a config. A file that is not there is no fault
    # of the config's quota.
    cause = error.__cause__
    if cause is None or isinstance(cause, OSError) or not is_ours(cause):
        raise error
    return Finding(where, str(cause), 'training does not start', '')


def _check(
    cfg: Config, dataset: Any, batches: int, track: Track
) -> tuple[list[Finding], Delivery | None]:
    findings: list[Finding] = []
    with running('the hooks of the config cannot be checked'):
        findings += check_config(cfg, dataset)
    try:
        with running('the annotations cannot be checked'):
            findings += examine(dataset, defect_classes_of(cfg), pixels=True)
    except UnusableError as error:
        return [*findings, _refusal('train_dataloader', error)], None
    if any(finding.where in NEEDED or finding.refused for finding in findings):
        return findings, None
    try:
        with running('the training dataloader cannot be built'):
            loader = build_loader(cfg, dataset)
    except UnusableError as error:
        found = _refusal('train_dataloader', error)
        # What the samplers refuse may have been found, with its fix.
        if not any(
            found.what.startswith(f.where) or f.what in found.what for f in findings
        ):
            findings.append(found)
        return findings, None
    plan, accumulated = loader.batch_sampler.plan, accumulated_batches(cfg)
    findings += check_optimizer_step(plan, accumulated)
    for where, hook in schedules(cfg):
        try:
            with running(f'{where} cannot be built'):
                build_hook(hook).apply(loader.batch_sampler)
        except UnusableError as error:
            findings.append(_refusal(where, error))
    sampler = loader.batch_sampler
    if sampler.quota is None:  # plain batches promise nothing that a wrapper keeps
        findings = [finding for finding in findings if finding.fix != WRAP]
    findings += check_draws(sampler)
    counts = {s.pool: s.in_group for s in plan.shares if s.pool != 'normal'}
    classes = sampler.sampler.defect_classes
    drawn = check_drawn(sampler.never_drawn(), counts, classes, plan.group_size)
    with running('the boxes cannot be measured'):
        findings += check_boxes(cfg, measure_boxes(cfg, sampler.sampler))
    if not batches:
        return findings + drawn, None
    with running('the batches cannot be loaded'):
        loaded = (pair[2:] for pair in islice(load_batches(loader), batches))
        pairs = ((i, b['data_samples']) for i, b in loaded)
        delivery = count_delivery(loader, track(pairs, 'running batches', batches))
    delivery = delivery._replace(
        optimizer_step=describe_optimizer_step(plan, accumulated)
    )
    judged = judge_delivery(delivery, findings, dataset) or unreadable(
        delivery, dataset
    )
    return findings + drawn + judged + mixed_in(delivery), delivery


def _check_imports(cfg: Config, loaded: Iterable[str]) -> list[Finding]:
    # By name; by a class, from a pure-Python config for example; or by a module of the
    # user's, which in a training registers all classes, and here, where mmdefect came
    # first, only holds it.
    imports = (cfg.get('custom_imports') or {}).get('imports') or ()
    names = [imports] if isinstance(imports, str) else list(imports)
    if (
        any(name.split('.')[0] == 'mmdefect' for name in names)
        or 'mmdefect.registered' in sys.modules
        or any(
            held is mmdefect
            for name in loaded
            for held in list(getattr(sys.modules[name], '__dict__', {}).values())
        )
    ):
        return []
    return [
        Finding(
            'custom_imports',
            'mmdefect is not imported',
            'MMEngine does not know DefectPoolSampler',
            f'custom_imports=dict(imports={[*names, "mmdefect"]}, '
            'allow_failed_imports=False)',
        )
    ]


# Without these there are no batches with a quota to run.
NEEDED = (
    'train_dataloader.sampler',
    'train_dataloader.batch_sampler',
    'train_dataloader.batch_size',
    'train_dataloader.drop_last',
    'train_dataloader.shuffle',
)


def judge_delivery(
    delivery: Delivery, findings: list[Finding], dataset: Any
) -> list[Finding]:
    """Findings of a delivery that nothing found before explains."""
    if any(finding.breaks for finding in findings):
        return []
    where, judged = 'train_dataloader.dataset', []
    for count in delivery.counts:
        if not count.quota:
            continue
        lost = count.drawn - count.delivered
        replaced, index = (delivery.replaced_in or {}).get(count.pool, (0, 0))
        if replaced > TOLERANCE * count.drawn:
            what = (
                f'in the place of {replaced:,} of {count.drawn:,} drawn {count.pool} '
                'images another one arrived'
            )
            with running('the images cannot be loaded'):
                cause = why_replaced(dataset, index) or 'a transform returns None'
            other = 'another of the pool' if hasattr(dataset, 'know_pools') else 'any'
            why = f'{cause}; {other} is taken in its place: take the cause out'
            judged.append(Finding(where, what, why, ''))
        elif count.pool != 'normal' and lost > TOLERANCE * count.drawn:
            shows = 'one' if count.pool == COUNTEREXAMPLE else 'none'
            what = f'{lost:,} of {count.drawn:,} drawn {count.pool} images show {shows}'
            why = 'a transform cuts it away: take them out one by one to find it'
            judged.append(Finding(where, what, why, ''))
    return judged


def mixed_in(delivery: Delivery) -> list[Finding]:
    """Tell how many images show a defect, where mixing brings it into normal ones."""
    normal = next((c for c in delivery.counts if c.pool == 'normal'), None)
    if normal is None or normal.drawn - normal.delivered <= TOLERANCE * normal.drawn:
        return []
    size = delivery.images / delivery.batches
    showing = delivery.showing / delivery.batches
    share = 1 - normal.delivered / normal.drawn
    return [
        Finding(
            'train_dataloader.dataset',
            f'of the {size:g} images of a batch {showing:.1f} show a defect when they '
            'reach the model',
            f'{share:.0%} of the normal ones show that of another image: a mosaic, for '
            'example, brings it in; the quota holds for what is drawn',
            '',
            breaks=False,
        )
    ]


def unreadable(delivery: Delivery, dataset: Any) -> list[Finding]:
    """Name a file that cannot be read, of which too few are there to break a quota."""
    for _, index in (delivery.replaced_in or {}).values():
        with running('the images cannot be loaded'):
            cause = why_unreadable(dataset, index)
        if cause:
            what = f'{delivery.replaced:,} images were replaced by another image'
            return [Finding('train_dataloader.dataset', what, cause, '', breaks=False)]
    return []
