"""What the README says is true: its commands, programs, links and tables."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re

import numpy as np
import pytest
from dataset_files import CLASSES, write_pixels, xml_files
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches

import mmdefect

README = (ROOT / 'README.md').read_text(encoding='utf-8')
SCRIPT = ROOT / 'tools/check_readme.py'
spec = importlib.util.spec_from_file_location('check_readme', SCRIPT)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

COMMANDS = tool.commands(README)
PYTHON = dict(tool.blocks(README, 'python'))
PROSE = re.sub(r'^```.*?^```$', '', README, flags=re.M | re.S)


@pytest.mark.parametrize('command', COMMANDS, ids=lambda c: f'line {c.line}')
def test_it_is_known_how_each_command_is_checked(command):
    assert tool.find_check(command.text), (
        f'{command.text!r}: add how to check it to CHECKS of tools/check_readme.py'
    )


@pytest.mark.parametrize('command', COMMANDS, ids=lambda c: f'line {c.line}')
def test_each_file_that_a_command_names_is_there(command):
    for name in re.findall(r'(?<![\w/])(?:tools|configs)/\w+\.\w+', command.text):
        assert (ROOT / name).is_file()


def test_every_way_in_which_a_reader_meets_a_command_is_found():
    text = (
        'Run `pip install\n.` or `x = 1`:\n```bash\n# first\nbash tools/a.sh  # now\n'
        'mim train \\\n    --gpus 1\n```\n`mim train b`, not `other`\n'
    )
    assert tool.commands(text) == [
        (1, 'pip install .'),
        (5, 'bash tools/a.sh'),
        (6, 'mim train --gpus 1'),
        (9, 'mim train b'),
    ]


def test_a_command_that_nobody_listed_fails(tmp_path):
    assert tool.find_check('python elsewhere.py') is None
    error = tool.check(tool.Command(1, 'python elsewhere.py'), tmp_path)
    assert 'CHECKS' in error


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


@pytest.mark.parametrize('line', PYTHON)
def test_python_in_it_is_python(line):
    # `dict(type='Name', ...)` stands for what the reader has there.
    ast.parse(PYTHON[line].replace(', ...)', ', **etc)'))


def test_each_type_in_its_configs_exists():
    from mmengine import registry

    names = set(re.findall(r"type='(\w+)'", README))
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


def anchors(text):
    """What GitHub makes of the headings."""
    titles = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', t.lower()).replace(' ', '-') for t in titles}


def test_each_local_link_leads_somewhere():
    links = re.findall(r'\]\((?!https?:)([^)\s]+)\)', PROSE)
    links += re.findall(r'src="(?!https?:)([^"]+)"', PROSE)
    assert links
    for link in links:
        path, _, anchor = link.partition('#')
        assert not path or (ROOT / path).exists(), link
        if anchor:
            assert anchor in anchors(PROSE if not path else (ROOT / path).read_text())


def tables():
    """By class, the arguments that the tables list with their defaults."""
    found = {}
    owner = None
    for line in PROSE.splitlines():
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


CALLS = re.findall(r'`(\w+)\(([^`]*)\)`', PROSE)
CALLS = [(name, text) for name, text in CALLS if hasattr(mmdefect, name)]


@pytest.mark.parametrize(('name', 'arguments'), CALLS)
def test_a_call_in_the_text_names_arguments_that_exist(name, arguments):
    call = ast.parse(f'f({arguments})', mode='eval').body
    assert {keyword.arg for keyword in call.keywords} <= set(parameters(name))


def test_what_would_be_done_can_be_listed(capsys):
    assert tool.main(['--list']) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == len(COMMANDS) + len(tool.programs(README))
    assert 'UNKNOWN' not in out


def test_wrong_use_is_told_in_one_line(capsys):
    with pytest.raises(SystemExit, match='2'):
        tool.main(['--only', '('])
    (line,) = capsys.readouterr().err.splitlines()
    assert 'no regular expression' in line


@pytest.mark.slow
def test_the_commands_of_the_readme_work(capsys):
    status = tool.main([])
    assert status == 0, capsys.readouterr().out
