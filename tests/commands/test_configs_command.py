"""``mmdefect configs`` copies the ready configs, and destroys nothing."""

from __future__ import annotations

from runner_configs import ROOT

from mmdefect.commands.main import main

READY = {path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/**/*.py')}


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_it_copies_every_ready_config_and_names_the_next_command(tmp_path, capsys):
    assert main(['configs', str(tmp_path / 'new/folder')]) == 0
    copied = files(tmp_path / 'new/folder')
    assert copied == {name: (ROOT / name).read_text() for name in READY}
    *_, line = capsys.readouterr().out.splitlines()
    assert line == f'  mmdefect check {tmp_path}/new/folder/configs/defect_yolox.py'


def test_a_config_that_was_edited_is_never_written_over(tmp_path, capsys):
    edited = tmp_path / 'configs/defect_yolox.py'
    edited.parent.mkdir()
    edited.write_text('quota = 1  # mine')
    assert main(['configs', str(tmp_path)]) == 2
    assert files(tmp_path) == {'configs/defect_yolox.py': 'quota = 1  # mine'}
    out, err = capsys.readouterr()
    assert out == ''
    assert f'{edited} would be written over' in err


def test_other_files_may_be_there(tmp_path):
    other = tmp_path / 'configs/mine.py'
    other.parent.mkdir()
    other.write_text('quota = 1')
    assert main(['configs', str(tmp_path)]) == 0
    assert set(files(tmp_path)) == {*READY, 'configs/mine.py'}
    assert other.read_text() == 'quota = 1'
