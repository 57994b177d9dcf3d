"""The cache of decoded images: the same batches, changed files, damage, several processes."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from data import packed as packing
from data.datasets import TrainBatches, make_loader
from data.images import BadImage
from data.listing import list_samples
from data.packed import PackedImages, pack
from data.transforms import Augmentation, TrainTransform
from tests.conftest import ROOT
from util.errors import UserError


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(10):
        folder = tmp_path / 'images' / ('0_real', '1_fake')[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.{("png", "jpg")[i % 3 == 0]}')
    return list_samples(tmp_path / 'images')


@pytest.mark.parametrize('load_size', [None, 36])
@pytest.mark.parametrize('device, workers', [('cpu', 0), ('cpu', 2), ('cuda', 2)])
def test_batches_are_those_of_the_files(samples, tmp_path, load_size, device, workers):
    transform = TrainTransform(load_size, 32, augmentation=Augmentation(blur_prob=0.5))
    packed = pack(samples, load_size, tmp_path / 'cache', 2)

    def batches(packed):
        order = TrainBatches(samples.labels, 4, seed=3)
        return list(make_loader(samples, transform, order, workers, torch.device(device), packed))

    for plain, fast in zip(batches(None), batches(packed), strict=True):
        assert torch.equal(plain.images, fast.images) and plain.indices == fast.indices


def test_a_cache_is_made_once_and_anew_when_a_file_changes(samples, tmp_path, capsys):
    pack(samples, None, tmp_path / 'cache', 2)
    said = capsys.readouterr().out
    assert 'decoding 10 images once, ' in said and '--no_cache' in said
    pack(samples, None, tmp_path / 'cache', 2)
    assert capsys.readouterr().out == ''
    path = samples[4].path
    Image.new('RGB', (60, 45), 'red').save(path)
    os.utime(path, ns=(1, 1))
    assert pack(samples, None, tmp_path / 'cache', 2)[4].tolist() == np.full((45, 60, 3), (255, 0, 0)).tolist()
    assert len([each for each in (tmp_path / 'cache').iterdir() if each.is_dir()]) == 1  # the old one is gone
    pack(samples, 36, tmp_path / 'cache', 2)  # other pixels of the same files stay beside it
    assert len([each for each in (tmp_path / 'cache').iterdir() if each.is_dir()]) == 2


def test_bad_files_stay_bad_and_damage_is_noticed(samples, tmp_path):
    samples[2].path.write_bytes(b'no image')
    samples[7].path.unlink()
    samples[7].path.symlink_to(tmp_path / 'nowhere')
    packed = pack(samples, None, tmp_path / 'cache', 2)
    for bad in (2, 7):
        with pytest.raises(BadImage, match='cannot be decoded'):
            packed[bad]
    loader = make_loader(samples, TrainTransform(None, 32), [[(2, 0)]], 0, torch.device('cpu'), packed)
    assert 'cannot be decoded' in next(iter(loader)).failures[0]
    Image.new('RGB', (40, 40)).save(samples[2].path)  # readable again
    assert next(iter(loader)).indices == [2]
    assert not packed[3].flags.writeable
    file = packed.folder / 'pixels.bin'
    content = bytearray(file.read_bytes())
    content[packed.offsets[5] + 7] ^= 1
    file.write_bytes(content)
    again = pickle.loads(pickle.dumps(packed))
    assert np.array_equal(again[4], packed[4])
    with pytest.raises(UserError, match='damaged'):
        again[5]
    (packed.folder / 'index.npz').write_bytes(b'')
    with pytest.raises(UserError, match='damaged'):
        PackedImages(packed.folder)


def test_too_little_room_means_no_cache(samples, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(packing, 'SPARE', 2**60)
    assert pack(samples, None, tmp_path / 'cache', 2) is None
    assert '--cache_dir' in capsys.readouterr().out and not list((tmp_path / 'cache').glob('*-*'))


def test_a_disk_that_refuses_means_no_cache(samples, tmp_path, capsys, monkeypatch):
    def refused(*_, **__):
        raise OSError(122, 'Disk quota exceeded')

    monkeypatch.setattr(packing.np, 'savez', refused)
    assert pack(samples, None, tmp_path / 'cache', 2) is None
    assert 'quota' in capsys.readouterr().out
    (tmp_path / 'file').touch()
    assert pack(samples, None, tmp_path / 'file' / 'cache', 2) is None
    assert 'Not a directory' in (said := capsys.readouterr().out) and '--cache_dir' in said
    assert not [each for each in (tmp_path / 'cache').iterdir() if each.is_dir()]


def test_a_cache_that_is_there_is_only_read(samples, tmp_path, monkeypatch):
    made = pack(samples, None, tmp_path / 'cache', 2)
    monkeypatch.setattr(packing, 'FileLock', None)
    monkeypatch.setattr(packing, 'write', None)
    assert np.array_equal(pack(samples, None, tmp_path / 'cache', 2)[3], made[3])


def test_processes_wait_for_the_one_that_decodes(samples, tmp_path):
    words = f"""
from data.listing import list_samples
from data.packed import pack
print(pack(list_samples({str(tmp_path / 'images')!r}), None, {str(tmp_path / 'cache')!r}, 1)[3].sum())
"""
    started = [
        subprocess.Popen([sys.executable, '-c', words], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [process.communicate()[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    assert sum('decoding 10 images' in each for each in said) == 1
    assert len({each.split()[-1] for each in said}) == 1


def test_what_a_killed_process_leaves_is_no_cache(samples, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, 'write_json', killed)
    monkeypatch.setattr(packing.shutil, 'rmtree', lambda *_, **__: None)  # SIGKILL leaves no time for it
    with pytest.raises(KeyboardInterrupt):
        pack(samples, None, tmp_path / 'cache', 2)
    monkeypatch.undo()
    monkeypatch.setattr(packing, 'SPARE', 2**60)
    assert pack(samples, None, tmp_path / 'cache', 2) is None
    assert not [each for each in (tmp_path / 'cache').iterdir() if each.is_dir()]  # what was left takes no room
    monkeypatch.undo()
    assert isinstance(pack(samples, None, tmp_path / 'cache', 2), PackedImages)
    assert len([each for each in (tmp_path / 'cache').iterdir() if each.is_dir()]) == 1
