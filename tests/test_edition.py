"""A small edition of UpsampleBench from a folder, mistakes, and a build that is killed."""

import os
import subprocess
import sys
import time

from PIL import Image

from data.images import load_rgb
from data.listing import find_generators, list_samples
from generators.tables import members
from tests.conftest import ROOT
from util.files import read_json

SIZES = ('--size', '32', '--train', '10', '--val', '4', '--test', '9')


def test_an_edition_from_a_folder(call, fails, photo_folder, tmp_path):
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
    assert all(words in left_out for words in ('p3.jpg: too small', 'grey.png: no colour', 'broken.jpg: cannot be'))
    generators = find_generators(tmp_path / 'a' / 'test')
    assert {(g.table, g.name) for g in generators} == {(table, member.name) for table, member in members()}
    photographs = {}
    folders = [('train', 'train'), ('train', 'train_wide'), ('val', 'val'), ('val', 'val_wide')]
    for split, folder in [*folders, *(('test', g.folder) for g in generators)]:
        samples = list_samples(tmp_path / 'a' / folder)
        for real, fake in zip(samples[: len(samples) // 2], samples[len(samples) // 2 :], strict=True):
            assert real.path.name == fake.path.name and (real.label, fake.label) == (0, 1)
            one, other = load_rgb(real.path), load_rgb(fake.path)
            assert one.size == other.size == ((24, 24) if 'resized' in str(folder) else (32, 32))
            assert one.tobytes() != other.tobytes()
        photographs.setdefault(split, set()).update(sample.path.name.split('_')[1] for sample in samples)
    assert not photographs['train'] & photographs['test'] and not photographs['train'] & photographs['val']

    assert 'exists already; --overwrite' in fails('make_benchmark.py', '--out', tmp_path / 'a', *arguments)
    call('make_benchmark.py', '--out', tmp_path / 'b', *arguments)
    files = sorted(path.relative_to(tmp_path / 'a') for path in (tmp_path / 'a').rglob('*.*'))
    assert all((tmp_path / 'a' / path).read_bytes() == (tmp_path / 'b' / path).read_bytes() for path in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']


def test_a_killed_build_leaves_no_edition_and_no_process(photo_folder, tmp_path):
    words = [sys.executable, ROOT / 'make_benchmark.py', '--out', tmp_path / 'x', '--photos', photo_folder, *SIZES]
    build = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    subprocess.run(words, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ['x'] and (tmp_path / 'x' / 'edition.json').is_file()


def until(happened, seconds=120):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_mistakes_in_making_a_benchmark(fails, photo_folder, tmp_path):
    out = ('--out', tmp_path / 'x')
    assert 'no such folder' in fails('make_benchmark.py', *out, '--photos', tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    assert 'no images below it' in fails('make_benchmark.py', *out, '--photos', tmp_path / 'empty')
    assert 'multiple of 8' in fails('make_benchmark.py', *out, '--size', '100')
    assert 'smaller --size' in fails('make_benchmark.py', *out, '--photos', photo_folder, '--size', '128')
    assert not (tmp_path / 'x').exists()
