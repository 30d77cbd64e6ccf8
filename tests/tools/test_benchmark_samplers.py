from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).parents[2] / 'tools' / 'benchmark_samplers.py'
spec = importlib.util.spec_from_file_location('benchmark_samplers', SCRIPT)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
scan_tool = tool.benchmark_scan

SETTING = tool.Setting(size=3200, batch_size=8, quota=3)


def command(*args):
    return [sys.executable, str(SCRIPT), *map(str, args)]


def run(*args, **environment):
    return subprocess.run(
        command(*args),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


@pytest.fixture(scope='module')
def quick(tmp_path_factory):
    path = tmp_path_factory.mktemp('quick') / 'samplers.json'
    result = run('--quick', '--json', path)
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(path.read_text())


@pytest.fixture(scope='module')
def rows(quick):
    return {row['contender']: row for row in quick[1]['results']}


def best(row, figure):
    """The round that other work on the machine disturbed least."""
    return min(result[figure] for result in row['rounds'])


def test_every_contender_gets_every_figure(rows):
    assert list(rows) == list(tool.CONTENDERS)
    for row in rows.values():
        figures = [row[figure] for figure in tool.UNITS]
        assert all(math.isfinite(figure) and figure > 0 for figure in figures), row
        assert 1 <= len(row['rounds']) <= 3


def test_table_shows_what_the_json_holds(quick, rows):
    lines = quick[0].splitlines()
    for name, row in rows.items():
        (shown,) = [
            line for line in lines if line.strip().startswith(tool.LABELS[name])
        ]
        figures = [tool.digits(row[figure]) for figure in tool.UNITS]
        assert shown.split()[-6:] == [*figures, str(len(row['rounds']))]


def test_output_fits_a_terminal_of_80_columns(quick):
    assert max(map(len, quick[0].splitlines())) <= 80


def test_last_lines_give_a_verdict_on_each_target(quick):
    shown, report = quick
    last = shown[shown.index('Ours against torch') :]
    lines = [line for line in report['comparison'] if 'target' in line]
    assert [line['figure'] for line in lines] == [
        *(figure for figure, sizes in tool.TARGETS.items() if 30_000 in sizes),
        *tool.PLAN_ONLY_TARGETS,
    ]
    for line in lines:
        assert line['reached'] == (line['value'] <= line['target'])
        (row,) = [
            row.split()
            for row in last.splitlines()
            if row.split()[:2] == [f'{line["size"]:,}', line['figure']]
        ]
        assert row[2] == tool.digits(line['value'])
        assert row[-1] == ('reached' if line['reached'] else 'missed')


def test_ratios_are_those_of_the_same_round(quick, rows):
    ratios = {line['figure']: line['value'] for line in quick[1]['comparison'][:4]}
    pairs = list(zip(rows['ours']['rounds'], rows['torch']['rounds']))
    for figure in 'batch', 'first':
        expected = np.median([ours[figure] / other[figure] for ours, other in pairs])
        assert ratios[figure] == pytest.approx(expected)
    own = [ours['resume'] / ours['first'] for ours, _ in pairs]
    assert ratios['resume'] == pytest.approx(np.median(own))


def test_ours_costs_no_more_than_plain_shuffling(rows):
    # The targets are 1.0 and 2.0, on a machine with nothing else to do.
    ours, plain = rows['ours'], rows['torch']
    assert best(ours, 'batch') <= 2.0 * best(plain, 'batch')
    assert best(ours, 'first') <= 3.0 * best(plain, 'first')
    assert best(ours, 'resume') <= 2.0 * best(ours, 'first')


def test_ours_holds_no_more_memory_than_plain_shuffling(rows):
    assert rows['ours']['memory'] <= rows['torch']['memory']


def test_a_million_images_take_less_than_a_third_of_the_memory_of_plain_shuffling():
    setting = SETTING._replace(size=1_000_000)
    ours, plain = (
        tool.traced_peak(lambda: tool.CONTENDERS[name](setting).start(0))  # noqa: B023
        for name in ('ours', 'torch')
    )
    assert ours <= tool.TARGETS['memory'][setting.size] * plain


def test_a_thousand_million_images_are_planned_at_once(quick):
    lines = [line for line in quick[1]['comparison'] if line['size'] == tool.PLAN_ONLY]
    assert len(lines) == 2
    assert all(line['reached'] for line in lines), lines


@pytest.mark.parametrize('name', tool.CONTENDERS)
def test_cost_is_divided_by_the_batches_that_were_really_drawn(name):
    epochs = tool.CONTENDERS[name](SETTING)
    for epoch in 0, 1:
        batches = list(epochs.start(epoch))
        assert len(batches) == epochs.batches
        assert {len(batch) for batch in batches} == {SETTING.batch_size}
        assert {type(index) for batch in batches for index in batch} == {int}


@pytest.mark.parametrize('name', ['multi-source', 'two-iterators', 'ours'])
def test_contenders_with_a_quota_really_keep_it(name):
    batches = np.array(list(tool.CONTENDERS[name](SETTING).start(0)))
    defects = batches % tool.PATTERN < tool.DEFECTS
    if name == 'multi-source':
        defects = batches >= tool.TwoSources(SETTING.size).cumulative_sizes[0]
    assert (defects.sum(axis=1) == SETTING.quota).all()


@pytest.mark.parametrize(
    ('name', 'held'), [('over', {3}), ('uneven', {3, 4}), ('many', {3, 4})]
)
def test_a_rank_of_several_shares_a_quota_over_their_batches(name, held):
    epochs = tool.CONTENDERS[name](tool.Setting(size=32_000, batch_size=8, quota=3))
    defects = np.array(list(epochs.start(0))) % tool.PATTERN < tool.DEFECTS
    assert set(defects.sum(axis=1).tolist()) == held


def test_a_rank_of_64_makes_no_batches_of_the_others():
    setting = SETTING._replace(size=1_000_000)
    seconds = []
    for name in ('ours', 'many'):
        epochs = tool.CONTENDERS[name](setting)
        times = []
        for epoch in range(5):
            begin = time.process_time()
            for _ in itertools.islice(epochs.start(epoch), 3000):
                pass
            times.append(time.process_time() - begin)
        seconds.append(min(times))
    assert seconds[1] < 6 * seconds[0]


def test_weights_draw_the_quota_on_average():
    batches = np.array(list(tool.CONTENDERS['weighted'](SETTING).start(0)))
    share = (batches % tool.PATTERN < tool.DEFECTS).mean()
    assert share == pytest.approx(SETTING.quota / SETTING.batch_size, abs=0.05)


def test_resuming_ours_really_starts_where_it_says():
    epochs = tool.CONTENDERS['ours'](SETTING)
    whole = list(epochs.start(5))
    step = int(tool.RESUME_AT * epochs.batches)
    epochs.restore(5, step)
    assert list(epochs.start(5)) == whole[step:]


def test_memory_counts_python_numpy_and_torch_and_what_is_held_at_once():
    def batches():
        for _ in range(3):
            tensor = torch.zeros(10**6, dtype=torch.int64)
            array = np.zeros(10**6, np.int64)
            text = bytes(4 * 10**6)
            yield tensor, array, text
            del tensor, array, text

    once = tool.traced_peak(lambda: batches())
    assert once == pytest.approx(20, rel=0.01)
    kept = []
    both = tool.traced_peak(lambda: (kept.append(each) for each in batches()))
    assert both == pytest.approx(60, rel=0.01)


def test_without_mmdetection_its_rows_are_left_out_and_the_others_stay(tmp_path):
    package = tmp_path / 'mmdet'
    package.mkdir()
    (package / '__init__.py').write_text("raise ImportError('not here')\n")
    path = tmp_path / 'samplers.json'
    only = ['torch', 'class-aware', 'aspect-ratio', 'scan']
    options = ['--sizes', 800, '--rounds', 1, '--only', *only, '--json', path]
    result = run(*options, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert 'left out: mmdet ClassAware, mmdet AspectRatioBatch, scan' in result.stdout
    report = json.loads(path.read_text())
    assert [row['contender'] for row in report['results']] == ['torch']
    assert report['scan'] is None


def test_what_finding_the_defects_costs_is_among_the_rows(quick):
    shown, report = quick
    scanned = report['scan']
    assert scanned['images'] == tool.QUICK_SCAN_SIZE
    table = shown[shown.index('Finding the defects at every start, 20,000 images') :]
    for figure in (*scan_tool.RATIOS, scan_tool.MEMORY):
        rows = (line for line in table.splitlines() if line.strip().startswith(figure))
        line = next(rows)
        for kind in scan_tool.SETS:
            assert f'{scanned[kind][figure]:.3f}' in line
    for kind, name in product(scan_tool.SETS, scan_tool.RATIOS):
        part, whole, _ = scan_tool.RATIOS[name]
        seconds = scanned[kind]['seconds']
        assert scanned[kind][name] == seconds[part] / seconds[whole]


def slow_scan(images, sets, rounds):
    """A report in which the scan of the sparse set takes longer than it may."""
    row = dict.fromkeys((*scan_tool.RATIOS, scan_tool.MEMORY), 0.1)
    row['seconds'] = defaultdict(float)
    slow = {**row, 'scan / loading': 0.36}
    machine = dict(cpus=1, load_before=0.0, load_after=0.0)
    return dict(images=images, machine=machine, sparse=slow, dense=row)


@pytest.mark.parametrize(
    ('options', 'code'), [(['--strict'], 1), ([], 0)], ids=['strict', 'not strict']
)
def test_a_scan_above_its_limit_fails_the_command_only_if_asked(
    options, code, monkeypatch, capsys
):
    monkeypatch.setattr(scan_tool, 'run', slow_scan)
    assert tool.main(['--only', 'scan', *options]) == code
    assert '0.360' in capsys.readouterr().out


@pytest.mark.parametrize('strict', [True, False])
def test_a_missed_target_fails_the_command_only_if_asked(strict):
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import benchmark_samplers as tool
tool.TARGETS['resume'][800] = 0
options = ['--sizes', '800', '--rounds', '1', '--only', 'ours']
sys.exit(tool.main(options + ['--strict'] * {strict}))
"""
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=300
    )
    assert 'missed' in result.stdout, result.stderr
    assert result.returncode == (1 if strict else 0)


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks for processes in /proc')
def test_interrupted_it_leaves_no_file_and_no_process(tmp_path):
    path = tmp_path / 'samplers.json'
    options = ['--sizes', 1_000_000, '--only', 'torch', 'ours', '--json', path]
    process = subprocess.Popen(
        command(*options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Ignored where the tests themselves run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )

    def workers():
        # Forked, so they go by the command's own name. Imports may start one process.
        own = Path(f'/proc/{process.pid}/cmdline').read_bytes()
        children = Path(f'/proc/{process.pid}/task/{process.pid}/children')
        found = [Path(f'/proc/{pid}/cmdline') for pid in children.read_text().split()]
        return [path for path in found if path.exists() and path.read_bytes() == own]

    deadline = time.monotonic() + 120
    while len(workers()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers()) == 2
    # Python loses an interrupt that comes while it forks.
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    shown, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert shown == ''
    assert complaint.splitlines()[-1] == 'interrupted: nothing was written'
    assert 'Traceback' not in complaint
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--sizes', '799'], ['--sizes', '800', '799']),
        (['--sizes', 'many'], ['--sizes', 'many']),
        (['--rounds', '0'], ['--rounds', '0']),
        (['--batch-size', '1'], ['--batch-size', '1']),
        (['--quota', '8'], ['--quota', '7', '8']),
        (['--quota', '0'], ['--quota', '0']),
        (['--only', 'theirs'], ['--only', 'theirs', 'two-iterators']),
        (['--json', 'no/such/folder.json'], ['--json', 'no/such/folder.json']),
        (['--json', '.'], ['--json']),
        (['--slow'], ['--slow']),
    ],
)
def test_wrong_use_is_told_in_one_line(options, words, capsys):
    with pytest.raises(SystemExit) as error:
        tool.main(options)
    shown = capsys.readouterr()
    assert error.value.code == 2
    assert shown.out == ''
    assert shown.err.count('\n') == 1
    for word in words:
        assert word in shown.err


def test_help_shows_an_example_that_runs_as_it_stands(capsys):
    with pytest.raises(SystemExit) as error:
        tool.main(['--help'])
    assert error.value.code == 0
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines() if 'python tools/' in line]
    assert lines
    for _, script, *options in lines:
        assert SCRIPT.match(script)
        tool.check(tool.make_parser().parse_args(options))
    assert max(map(len, shown.splitlines())) <= 80


def test_contenders_that_fail_are_left_out_and_named():
    def broken(setting):
        if setting.size == SETTING.size:
            raise ValueError('no such images')
        return tool.random_sampler(setting)

    worker = tool.Worker(tool.turns, broken, SETTING)
    with pytest.raises(tool.WorkerError, match='ValueError: no such images'):
        worker.ask()
    worker.close()


def test_epochs_are_numbered_anew_so_that_no_cache_helps():
    asked = []

    def start(epoch):
        asked.append(epoch)
        return iter([[0]] * 10_000)

    tool.time_round(tool.Epochs(start, 10_000), itertools.count())
    assert len(asked) == len(set(asked))
