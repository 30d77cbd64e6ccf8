"""What the READMEs say is true: their commands, programs, links and tables."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys

import numpy as np
import pytest
from dataset_files import CLASSES, write_pixels, xml_files
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches

import mmdefect
from mmdefect.commands.main import main

SCRIPT = ROOT / 'tools/check_readme.py'
spec = importlib.util.spec_from_file_location('check_readme', SCRIPT)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

TEXTS = {name: tool.read(name) for name in tool.READMES}
COMMANDS = [c for name, text in TEXTS.items() for c in tool.commands(name, text)]
PYTHON = {
    f'{name}:{line}': code
    for name, text in TEXTS.items()
    for line, code in tool.blocks(text, 'python')
}
PROSE = {
    name: re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    for name, text in TEXTS.items()
}


def place(command):
    return f'{command.readme}:{command.line}'


def test_every_readme_is_read():
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob('[!.]*/README.md')}
    assert {'README.md', *found} == set(tool.READMES)
    assert set(tool.READMES) == {command.readme for command in COMMANDS}


@pytest.mark.parametrize('command', COMMANDS, ids=place)
def test_it_is_known_how_each_command_is_checked(command):
    assert tool.find_check(command.text), (
        f'{command.text!r}: add how to check it to CHECKS of tools/check_readme.py'
    )


@pytest.mark.parametrize('command', COMMANDS, ids=place)
def test_each_file_that_a_command_names_is_there(command):
    for name in re.findall(r'(?<![\w/])(?:tools|configs)/\w+\.\w+', command.text):
        assert (ROOT / name).is_file()


def test_every_way_in_which_a_reader_meets_a_command_is_found():
    text = (
        'Run `pip install\n.` or `x = 1`:\n```bash\n# first\nbash tools/a.sh  # now\n'
        'mim train \\\n    --gpus 1\n```\n`mim train b`, not `other`\n'
        '| `mmdefect check CONFIG` | checks |\n'
    )
    assert tool.commands('README.md', text) == [
        ('README.md', 1, 'pip install .'),
        ('README.md', 5, 'bash tools/a.sh'),
        ('README.md', 6, 'mim train --gpus 1'),
        ('README.md', 9, 'mim train b'),
        ('README.md', 10, 'mmdefect check CONFIG'),
    ]


def test_a_command_that_nobody_listed_fails(tmp_path):
    assert tool.find_check('python elsewhere.py') is None
    error = tool.check(tool.Command('README.md', 1, 'python elsewhere.py'), tmp_path)
    assert 'CHECKS' in error


@pytest.mark.parametrize(
    ('command', 'lacking'),
    [
        ('mmdefect check CONFIG --batches 2', None),
        ('mmdefect check CONFIG --bathces 2', '--bathces: not in the help'),
        ('mmdefect chek CONFIG', 'there is no command chek'),
    ],
)
def test_a_command_with_something_to_fill_in_is_held_against_its_help(
    command, lacking, tmp_path, monkeypatch
):
    monkeypatch.setattr(tool, 'environment', with_the_command(tmp_path))
    error = tool.check(tool.Command('README.md', 1, command), tmp_path)
    assert error is None if lacking is None else lacking in error


def with_the_command(folder):
    """The environment of the tool, with a command ``mmdefect`` of this checkout."""
    script = folder / '.venv/bin/mmdefect'
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m mmdefect "$@"\n')
    script.chmod(0o755)
    environment = tool.environment(folder)
    return lambda _: {**environment, 'PYTHONPATH': str(ROOT)}


@pytest.mark.parametrize(
    'command', ['python tools/check_readme.py', 'bash tools/test.sh --slow']
)
def test_what_would_run_these_checks_again_is_not_run(command):
    assert tool.find_check(command).helps


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path):
    assert tool.run('true', tmp_path) is None
    assert tool.run('echo reason; false', tmp_path) == 'reason'


def test_an_option_that_a_program_lacks_is_found(tmp_path):
    known = ('echo "  --known_one N"',)
    assert tool.unknown_options("a --known-one '--other'", known, tmp_path) is None
    assert tool.unknown_options('a --unknown 1', known, tmp_path).startswith(
        '--unknown'
    )


@pytest.mark.parametrize('place', PYTHON)
def test_python_in_it_is_python(place):
    # `dict(type='Name', ...)` stands for what the reader has there.
    ast.parse(PYTHON[place].replace(', ...)', ', **etc)'))


def test_each_type_in_its_configs_exists():
    from mmengine import registry

    names = set(re.findall(r"type='(\w+)'", ''.join(TEXTS.values())))
    assert names
    from mmdet.utils import register_all_modules

    before = DefaultScope.get_current_instance()
    register_all_modules(init_default_scope=False)
    assert DefaultScope.get_current_instance() is before
    kinds = [
        kind for kind in vars(registry).values() if isinstance(kind, registry.Registry)
    ]
    children = [child for kind in kinds for child in kind.children.values()]
    known = {name for kind in [*kinds, *children] for name in kind.module_dict}
    assert names <= known


def test_the_config_for_voc_trains_and_validates_with_its_first_lines_edited(
    tmp_path,
):
    (text,) = [code for code in PYTHON.values() if 'XMLDataset' in code]
    edited = {
        './defect_yolox.py': str(ROOT / 'configs/defect_yolox.py'),
        'data/parts/': f'{tmp_path}/',
        "('crack', 'hole')": str(CLASSES),
        "'train.txt', 'val.txt'": "'train.txt', 'train.txt'",
    }
    for old, new in edited.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / 'voc.py').write_text(text)
    xml_files(tmp_path, 'Annotations')
    write_pixels(tmp_path / 'JPEGImages')

    path = str(tmp_path / 'voc.py')
    content = Config.fromfile(path).to_dict()
    cfg = Config(content, filename=path, format_python_code=False)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler = None
    cfg.model.test_cfg.score_thr = 0.0
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.batch_sampler.num_batches = 2
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()

    with_defect = {'c01', 'd03', 'b05', 'c07', 't08', 'd11'}
    drawn = [[name in with_defect for name in batch] for batch in record.batches]
    assert [sum(batch) for batch in drawn] == [3, 3]
    scalars = runner.message_hub.log_scalars
    assert np.isfinite(scalars['val/pascal_voc/mAP'].current())


MINE = """\
_base_ = 'mmdet::{stock}'
model = dict({head})
data = dict(
    data_root='{data}/',
    ann_file='train.json',
    data_prefix=dict(img='train/'),
    metainfo=dict(classes=('scratch', 'pit', 'dent')),
    filter_cfg=dict(filter_empty_gt=False),
)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = val_cfg = val_evaluator = None
"""


@pytest.mark.parametrize(
    ('stock', 'head'),
    [
        (
            'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
            'roi_head=dict(bbox_head=dict(num_classes=3))',
        ),
        ('retinanet/retinanet_r50_fpn_1x_coco.py', 'bbox_head=dict(num_classes=3)'),
    ],
)
def test_what_to_add_to_a_config_gives_a_stock_detector_its_quota(
    stock, head, small, tmp_path, monkeypatch, capsys
):
    (text,) = [code for code in PYTHON.values() if "'my_config.py'" in code]
    mine = MINE.format(stock=stock, head=head, data=small)
    (tmp_path / 'my_config.py').write_text(mine)
    (tmp_path / 'with_quota.py').write_text(text)
    monkeypatch.chdir(tmp_path)
    status = main(['check', 'with_quota.py', '--batches', '2'])
    said = capsys.readouterr().out
    assert status == 0, said
    assert 'Nothing found that breaks the quota.' in said
    cfg = Config.fromfile('with_quota.py')
    hooks = [hook['type'] for hook in cfg.custom_hooks]
    assert hooks == ['QuotaMonitorHook', 'QuotaResumeHook']


def anchors(text):
    """What GitHub makes of the headings."""
    titles = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', t.lower()).replace(' ', '-') for t in titles}


@pytest.mark.parametrize('name', tool.READMES)
def test_each_local_link_leads_somewhere(name):
    links = re.findall(r'\]\((?!https?:)([^)\s]+)\)', PROSE[name])
    links += re.findall(r'src="(?!https?:)([^"]+)"', PROSE[name])
    assert links
    for link in links:
        path, _, anchor = link.partition('#')
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding='utf-8')), link


def tables():
    """By class, the arguments that the tables list with their defaults."""
    found = {}
    owner = None
    for line in PROSE['mmdefect/README.md'].splitlines():
        named = re.match(r'(?:#+ )?`(\w+)`', line)
        if named and hasattr(mmdefect, named[1]):
            owner = named[1]
        row = re.match(r'\| `(\w+)(?:=([^`]*))?` \|', line)
        if row and owner:
            found.setdefault(owner, {})[row[1]] = row[2]
        elif line.startswith('#'):
            owner = None if not named else owner
    return found


def parameters(name):
    return inspect.signature(getattr(mmdefect, name)).parameters


# There for configs that inherit it, and for what MMEngine passes; none chooses it.
UNLISTED = {'shuffle', 'lazy_init', 'kwargs'}
CLASSES_WITH_ARGUMENTS = [
    name
    for name in mmdefect.__all__
    if isinstance(getattr(mmdefect, name), type) and set(parameters(name)) - UNLISTED
]


@pytest.mark.parametrize('name', CLASSES_WITH_ARGUMENTS)
def test_every_argument_of_every_class_is_in_a_table_with_its_default(name):
    given = parameters(name)
    listed = tables()[name]
    for argument, default in listed.items():
        if default is not None:
            assert ast.literal_eval(default) == given[argument].default
    optional = {p.name for p in given.values() if p.default is not p.empty}
    assert optional - UNLISTED <= set(listed) <= set(given)


CALLS = re.findall(r'`(\w+)\(([^`]*)\)`', ''.join(PROSE.values()))
CALLS = [(name, text) for name, text in CALLS if hasattr(mmdefect, name)]


@pytest.mark.parametrize(('name', 'arguments'), CALLS)
def test_a_call_in_the_text_names_arguments_that_exist(name, arguments):
    call = ast.parse(f'f({arguments})', mode='eval').body
    assert {keyword.arg for keyword in call.keywords} <= set(parameters(name))


def test_what_would_be_done_can_be_listed(capsys):
    assert tool.main(['--list']) == 0
    out = capsys.readouterr().out
    texts = {command.text for command in COMMANDS}
    assert len(out.splitlines()) == len(texts) + len(tool.programs())
    assert 'UNKNOWN' not in out


def test_wrong_use_is_told_in_one_line(capsys):
    with pytest.raises(SystemExit, match='2'):
        tool.main(['--only', '('])
    (line,) = capsys.readouterr().err.splitlines()
    assert 'no regular expression' in line


@pytest.mark.slow
def test_the_commands_of_the_readmes_work(capsys):
    status = tool.main([])
    assert status == 0, capsys.readouterr().out
