"""detect.py as a user meets it: any images, linked folders, names that are not UTF-8, output to anything."""

import io
import os
from contextlib import redirect_stdout

import pandas as pd
from PIL import Image

from analysis.scores import read_scores
from detect import find_images
from tests.conftest import SMALL, make_image, make_labelled
from util.errors import friendly_errors


def test_detect_scores_any_image(call, fails, checkpoints, tmp_path):
    make_image(tmp_path / 'deep' / 'er' / 'a.png', 0, True)
    make_image(tmp_path / 'b.png', 1, False)
    arguments = ('--model_path', checkpoints['multiscale_attention'], '--num_threads', '0', '--no_resize')
    status, out, _ = call(
        'detect.py', *arguments, tmp_path / 'b.png', tmp_path / 'deep', '--output', tmp_path / 's.csv'
    )
    assert status == 0 and 'b.png' in out and 'a.png' in out
    frame = pd.read_csv(tmp_path / 's.csv')
    assert list(frame['path']) == [f'{tmp_path}/b.png', f'{tmp_path}/deep/er/a.png']
    assert frame['score'].between(0, 1).all() and 'attention_0.75' in frame.columns
    assert 'no such file or folder' in fails('detect.py', *arguments, tmp_path / 'c.png')
    assert 'a folder; give a file in it' in fails('detect.py', *arguments, tmp_path / 'b.png', '--output', tmp_path)


def test_images_smaller_than_the_crop_are_told(call, checkpoints, tmp_path):
    for number, size in enumerate(((64, 64), (63, 80), (200, 40))):
        Image.effect_noise(size, 40).convert('RGB').save(tmp_path / f'{number}.png')
    words = ('--model_path', checkpoints['single_scale'], tmp_path, '--num_threads', '0')
    assert (
        '2 of 3 images have a side below 64 pixels' in call('detect.py', *words, '--no_resize', '--cropSize', '64')[1]
    )
    for pixels in (
        ('--no_resize', '--cropSize', '40'),
        ('--no_resize', '--no_crop'),
        ('--loadSize', '80', '--cropSize', '64'),
    ):
        assert 'have a side below' not in call('detect.py', *words, *pixels)[1]


def test_names_that_are_not_utf_8_are_scored(call, checkpoints, tmp_path):
    folder = tmp_path / os.fsdecode(b'g\xe9n')
    make_labelled(folder, 2)
    (folder / '0_real' / '0.png').rename(folder / '0_real' / os.fsdecode(b'\xe9.png'))
    arguments = ('--model_path', checkpoints['single_scale'], *SMALL)
    assert call('test.py', *arguments, '--dataroot', tmp_path, '--output_dir', tmp_path / 'out')[0] == 0
    frame = read_scores(tmp_path / 'out' / 'scores.csv')
    assert len(frame) == 4 and set(frame['generator']) == {folder.name}
    assert call('detect.py', *arguments, folder, '--output', tmp_path / 's.csv')[0] == 0
    assert len((tmp_path / 's.csv').read_bytes().splitlines()) == 5


def test_output_may_go_to_what_is_no_terminal_or_file():
    with redirect_stdout(io.StringIO()) as kept, friendly_errors('detect.py'):
        print('score')
    assert kept.getvalue() == 'score\n'


def test_detect_follows_links_and_leaves_hidden_folders_out(tmp_path):
    for name in ('set/b/a.png', 'set/a.png', 'set/.trash/a.png', 'set/b/.a.png', 'linked/a.png'):
        make_image(tmp_path / name, 0, True)
    (tmp_path / 'set' / 'folder.png').mkdir()
    (tmp_path / 'set' / 'link').symlink_to(tmp_path / 'linked')
    (tmp_path / 'linked' / 'round').symlink_to(tmp_path / 'set')
    found = [path.relative_to(tmp_path / 'set').as_posix() for path in find_images([tmp_path / 'set'])]
    assert found == ['a.png', 'b/a.png', 'link/a.png']
