"""Small trees of images, short commands, and a reference baseline built without this project's code."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ['CUDA_VISIBLE_DEVICES'] = ''  # the suite is about the CPU, also on a machine with GPUs; before torch

import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    """Tests run side by side; more threads than cores would only slow them down."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers():
    torch.manual_seed(0)


def make_image(path, seed, fake, side=48):
    """Smooth noise; fakes are up-sampled by 2 (nearest), so that a detector can learn them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (side // (2 if fake else 1), side // (2 if fake else 1), 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST).save(path)


def make_labelled(folder, count=3, side=48, seed=0):
    for label, name in enumerate(('0_real', '1_fake')):
        for i in range(count):
            make_image(folder / name / f'{i}.png', [seed, label, i], fake=bool(label), side=side)


@pytest.fixture(scope='session')
def forensynths(tmp_path_factory):
    """A small tree in the layout of ForenSynths: {train,val}/{car,cat,chair,horse}, test/<generator>."""
    root = tmp_path_factory.mktemp('forensynths')
    for number, name in enumerate(('car', 'cat', 'chair', 'horse')):
        make_labelled(root / 'train' / name, 4, seed=number)
        make_labelled(root / 'val' / name, 2, seed=10 + number)
    make_labelled(root / 'test' / 'stylegan' / 'bedroom', 4, seed=20)
    make_labelled(root / 'test' / 'stylegan' / 'car', 3, seed=21)
    make_labelled(root / 'test' / 'biggan', 5, seed=22)
    return root


def command(*words, threads=1, check=True, cwd=ROOT, **variables):
    """Run a script of the project with this Python; returns the finished process with its output."""
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'CUDA_VISIBLE_DEVICES': '', **variables}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


SMALL = ('--loadSize', '40', '--cropSize', '32', '--num_threads', '0', '--precision', 'fp32')


def train_arguments(root, checkpoints, name='run', **flags):
    """Arguments of a training run that takes seconds."""
    flags = {'model_type': 'single_scale', 'niter': 2, 'batch_size': 8, 'lr': 0.001, **flags}
    words = ['--name', name, '--checkpoints_dir', checkpoints, '--dataroot', root, *SMALL]
    for flag, value in flags.items():
        words += [f'--{flag}'] if value is True else [f'--{flag}', value]
    return [str(word) for word in words]


@pytest.fixture(scope='session')
def checkpoints(forensynths, tmp_path_factory):
    """{model_type: path of a trained checkpoint}"""
    import train
    from options.train_options import get_parser

    folder = tmp_path_factory.mktemp('checkpoints')
    for model_type in ('single_scale', 'multiscale_attention'):
        words = train_arguments(forensynths, folder, model_type, model_type=model_type, niter=3)
        train.main(get_parser().parse_args(words))
    return {path.parent.name: path for path in folder.glob('*/model_epoch_last.pth')}


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a script in this process, as `python SCRIPT WORDS...` would; returns (exit status, stdout, stderr)."""

    def run(script, *words):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, words)])
        status = 0
        try:
            runpy.run_path(str(ROOT / script), run_name='__main__')
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def fails(call):
    """Run a script that must fail: status 2, one error message, no traceback; returns the message."""

    def run(script, *words):
        status, _, error = call(script, *words)
        assert status == 2, (status, error)
        assert error.count('error:') == 1 and 'Traceback' not in error, error
        return error[error.index('error:') :]

    return run


def write_scores(frame, path):
    """A score file of a frame that may be anything, also what the program would never write."""
    frame.to_csv(path, index=False, float_format='%.9g')


@pytest.fixture(scope='session')
def photo_folder(tmp_path_factory):
    """Twelve smooth pictures in nested folders and several formats, a copy; one is too small, one grey, one broken."""
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for i in range(12):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8))
        path = folder / f'sub{i % 3}' / f'p{i}.{("png", "jpg", "webp")[i % 3]}'
        path.parent.mkdir(exist_ok=True)
        coarse.resize((150, 140), Image.Resampling.BICUBIC).save(path)
    Image.new('RGB', (40, 40), (200, 100, 50)).save(folder / 'sub0' / 'p3.jpg')  # same name as p3.png, too small
    Image.new('L', (150, 140), 7).save(folder / 'grey.png')
    (folder / 'broken.jpg').write_bytes(b'JFIF')
    Image.open(folder / 'sub0' / 'p0.png').resize((146, 136)).save(folder / 'sub1' / 'again.jpg')  # a near-duplicate
    return folder


@pytest.fixture
def field(tmp_path):
    """Two generators with reals, one without, and a folder of reals alone."""
    for number, name in enumerate(('one', 'two', 'bare', 'lender')):
        make_labelled(tmp_path / 'field' / name, 16, seed=number)
    shutil.rmtree(tmp_path / 'field' / 'bare' / '0_real')
    shutil.rmtree(tmp_path / 'field' / 'lender' / '1_fake')
    return tmp_path / 'field'


@pytest.fixture
def made(tmp_path):
    """Two folders of made fakes, as generators.redo writes them."""
    for kind, names in (('trained', ('nearest', 'shuffle')), ('random', ('nearest',))):
        for name in names:
            make_labelled(tmp_path / 'made' / kind / name, 8, seed=5)
    return [tmp_path / 'made' / kind for kind in ('trained', 'random')]
