"""A small edition of UpsampleBench from a folder, mistakes, and a build that is killed."""

import os
import shutil
import subprocess
import sys
import time
from itertools import combinations
from types import SimpleNamespace

import pytest
from PIL import Image

from data.images import load_rgb
from data.listing import find_generators, list_samples
from generators import edition
from generators.tables import members
from tests.conftest import ROOT
from util.errors import UserError
from util.files import read_json

SIZES = ('--size', '32', '--train', '10', '--val', '4', '--test', '9')


def test_an_edition_from_a_folder(call, fails, photo_folder, tmp_path, monkeypatch):
    arguments = ('--photos', photo_folder, *SIZES)
    status, out, error = call('make_benchmark.py', '--out', tmp_path / 'a', *arguments)
    assert status == 0, error
    assert 'Shortcut audit' in out and all(member.name in out for _, member in members())
    card = read_json(tmp_path / 'a' / 'edition.json')
    assert set(card['audit']) == {m.name for _, m in members()} and card['tiles']['train'] == {'photo': 10}
    for picture in ('audit.png', 'spectra.png', 'residuals.png', 'contact_U2_diffusion_decoders.png'):
        assert Image.open(tmp_path / 'a' / picture).width > 300
    left_out = ' '.join(card['photos_left_out'])
    assert len(card['photos_left_out']) == 3 and '3 photographs left out' in out
    assert str(photo_folder) not in left_out and 'sub0/p3.jpg' in left_out
    ((one, other),) = card['near_duplicates']
    assert one.endswith('sub0-p0-png') and other.endswith('sub1-again-jpg')
    assert all(words in left_out for words in ('p3.jpg: too small', 'grey.png: no colour', 'broken.jpg: cannot be'))
    generators = find_generators(tmp_path / 'a' / 'test')
    assert {(g.table, g.name) for g in generators} == {(table, member.name) for table, member in members()}
    photographs = {}
    folders = [(split, f) for split in ('train', 'val') for f in (tmp_path / 'a').glob(f'{split}*/*')]
    assert len(folders) == 2 * (1 + 3)
    for split, folder in [*folders, *(('test', g.folder) for g in generators)]:
        samples = list_samples(folder)
        for real, fake in zip(samples[: len(samples) // 2], samples[len(samples) // 2 :], strict=True):
            assert real.path.name == fake.path.name and (real.label, fake.label) == (0, 1)
            one, other = load_rgb(real.path), load_rgb(fake.path)
            assert one.size == other.size == ((24, 24) if 'resized' in str(folder) else (32, 32))
            assert one.tobytes() != other.tobytes()
        photographs.setdefault(split, set()).update(sample.path.name.split('_')[1] for sample in samples)
    assert all(not photographs[one] & photographs[other] for one, other in combinations(photographs, 2))

    assert 'exists already; --overwrite' in fails('make_benchmark.py', '--out', tmp_path / 'a', *arguments)
    monkeypatch.setattr('util.machine.cores', lambda: 1)
    call('make_benchmark.py', '--out', tmp_path / 'b', *arguments)
    files = sorted(path.relative_to(tmp_path / 'a') for path in (tmp_path / 'a').rglob('*.*'))
    assert all((tmp_path / 'a' / path).read_bytes() == (tmp_path / 'b' / path).read_bytes() for path in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']


def test_a_killed_build_leaves_no_edition_and_no_process(photo_folder, tmp_path, tmp_path_factory):
    words = [sys.executable, ROOT / 'make_benchmark.py', '--out', tmp_path / 'x', '--photos', photo_folder, *SIZES]
    elsewhere = tmp_path_factory.mktemp('elsewhere')  # whose modules are not those of this repository
    (elsewhere / 'generators').mkdir()
    (elsewhere / 'generators' / '__init__.py').write_text('raise SystemExit("imported from the current folder")')
    quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
    build = subprocess.Popen(words, start_new_session=True, cwd=elsewhere, **quiet)
    until(lambda: any(tmp_path.glob('.x.new/test/*/*/1_fake/*.png')))
    build.kill()
    build.wait()
    assert not (tmp_path / 'x').exists() and (tmp_path / '.x.new').exists()

    def no_worker_left():
        try:
            os.killpg(build.pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(no_worker_left)
    subprocess.run(words, check=True, capture_output=True, cwd=elsewhere)
    assert [path.name for path in tmp_path.iterdir()] == ['x'] and (tmp_path / 'x' / 'edition.json').is_file()


def until(happened, seconds=120):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_editions_are_replaced_whole_or_not_at_all(call, fails, photo_folder, tmp_path, monkeypatch):
    out = tmp_path / 'x'
    words = ('make_benchmark.py', '--out', out, '--photos', photo_folder, *SIZES)
    out.mkdir()
    (out / 'mine.txt').write_text('precious')
    assert 'no edition.json' in fails(*words, '--overwrite') and (out / 'mine.txt').is_file()
    (out / 'edition.json').write_text('{}')
    monkeypatch.setattr('generators.edition.SHORTCUT_LIMIT', 0.0)  # every generator fails
    monkeypatch.setattr('generators.edition.ENOUGH', 9)
    message = fails(*words, '--overwrite')
    assert 'the shortcut audit failed, so no edition is left: bilinear_x2: AUC' in message
    assert (out / 'mine.txt').is_file() and [path.name for path in tmp_path.iterdir()] == ['x']
    monkeypatch.setattr('generators.edition.ENOUGH', 10)
    out.rename(tmp_path / '.x.old')  # as a build leaves it that is killed between its two renames
    status, text, _ = call(*words, '--overwrite')
    assert status == 0 and 'chance may do that' in text
    assert not (out / 'mine.txt').exists() and (out / 'test').is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ['x']


def test_files_that_differ_stop_the_build(monkeypatch, tmp_path):
    Image.new('RGB', (32, 32), (3, 40, 90)).save(tmp_path / 'r.png')
    build = edition.Edition(tmp_path / 'out', {}, 32, 0, tmp_path)
    member = next(m for _, m in members() if m.name == 'jpeg95')
    jobs = build.jobs(tmp_path / 'out', member, 'train', [tmp_path / 'r.png'])
    pool = SimpleNamespace(map=map)
    assert list(edition.run(pool, jobs, '')) == [member]
    shutil.rmtree(tmp_path / 'out')
    jobs = build.jobs(tmp_path / 'out', member, 'train', [tmp_path / 'r.png'])
    monkeypatch.setattr(os, 'utime', lambda *words, **more: None)  # the fake would be younger than its real
    with pytest.raises(UserError, match=r'r\.png: time of change'):
        edition.run(pool, jobs, '')


def test_mistakes_in_making_a_benchmark(fails, photo_folder, tmp_path):
    out = ('--out', tmp_path / 'x')
    assert 'no such folder' in fails('make_benchmark.py', *out, '--photos', tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    assert 'no images below it' in fails('make_benchmark.py', *out, '--photos', tmp_path / 'empty')
    assert 'multiple of 8' in fails('make_benchmark.py', *out, '--size', '100')
    assert 'smaller --size' in fails('make_benchmark.py', *out, '--photos', photo_folder, '--size', '128')
    assert not (tmp_path / 'x').exists()
