"""Data as people have them: folders too deep, one class, whole photographs, tiny images, names that are not UTF-8."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hubconf
from analysis.scores import read_scores
from data.datasets import LARGE, MOST, ScoreBatches
from data.listing import fingerprint, list_samples
from tests.conftest import SMALL, make_image, make_labelled
from util.errors import UserError
from util.files import only_writer, read_json


def test_images_deeper_than_a_label_folder_are_refused_not_forgotten(tmp_path):
    make_labelled(tmp_path / 'gen', 3)
    assert len(list_samples(tmp_path)) == 6
    make_image(tmp_path / 'gen' / '0_real' / 'more' / 'a.png', 0, False)
    with pytest.raises(UserError, match=r'more: images below a label folder must lie in it, not deeper \(1 do\)'):
        list_samples(tmp_path)


def test_a_list_of_names_that_are_not_utf_8_has_a_fingerprint(tmp_path):
    make_labelled(tmp_path, 2)
    (tmp_path / '0_real' / '0.png').rename(tmp_path / '0_real' / os.fsdecode(b'\xff.png'))
    one = fingerprint(tmp_path, list_samples(tmp_path))
    (tmp_path / '0_real' / os.fsdecode(b'\xff.png')).rename(tmp_path / '0_real' / os.fsdecode(b'\xfe.png'))
    assert fingerprint(tmp_path, list_samples(tmp_path)) != one


@pytest.mark.parametrize(('side', 'count'), [(256, 64), (512, 64), (520, MOST // 520**2), (5000, 1)])
def test_a_batch_holds_fewer_whole_photographs(side, count):
    assert LARGE == 512**2
    batches = list(ScoreBatches(np.full((100, 2), side), 64))
    assert [len(batch) for batch in batches[:-1]] == [count] * (len(batches) - 1)
    assert sorted(index for batch in batches for index, _ in batch) == list(range(100))
    mixed = ScoreBatches(np.repeat([[5000, 5000], [40, 40]], 6, axis=0), 4)
    assert sorted(len(batch) for batch in mixed) == [1] * 6 + [2, 4]


def test_one_class_is_refused_before_anything_is_scored(fails, checkpoints, tmp_path):
    make_labelled(tmp_path / 'gen', 3)
    shutil.rmtree(tmp_path / 'gen' / '0_real')
    words = ('--model_path', checkpoints['single_scale'], '--dataroot', tmp_path / 'gen', *SMALL)
    assert '--reals DIR lends real ones' in fails('robustness.py', *words, '--out', tmp_path / 'r')
    assert not list((tmp_path / 'r').iterdir())
    assert 'takes real and fake' in fails('join_copy.py', *words, '--out', tmp_path / 'x.pth')


def test_what_cannot_be_shifted_is_left_out_of_all_that_faithfulness_asks(call, checkpoints, tmp_path):
    make_labelled(tmp_path / 'gen', 4, side=40)
    make_image(tmp_path / 'gen' / '0_real' / 'tiny.png', 9, False, side=8)
    words = ('--model_path', checkpoints['multiscale_attention'], '--dataroot', tmp_path / 'gen', '--no_resize')
    words += ('--cropSize', '32', '--num_threads', '0', '--on_bad_image', 'skip', '--out', tmp_path / 'f')
    status, out, error = call('faithfulness.py', *words)
    assert status == 0 and 'tiny.png' in out, error
    assert read_json(tmp_path / 'f' / 'faithfulness.json')['images'] == 8


def test_nothing_readable_is_an_error(fails, checkpoints, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    words = ('--model_path', checkpoints['single_scale'], tmp_path, '--on_bad_image', 'skip', '--num_threads', '0')
    message = fails('detect.py', *words)
    assert 'not one image could be read' in message and 'a.png' in message


@pytest.mark.parametrize('mode', ['RGBA', 'L', 'LA', 'P', 'CMYK', 'I;16'])
def test_hub_takes_images_of_any_mode_as_files_are_taken(mode, tmp_path):
    image = Image.effect_noise((64, 64), 60)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == 'I;16' else image.convert(mode)
    path = tmp_path / ('a.jpg' if mode == 'CMYK' else 'a.png')
    image.save(path)
    ready = hubconf.fine_npr()
    assert ready.score(Image.open(path)) == ready.score(path)


def test_two_runs_do_not_write_scores_into_one_folder(fails, checkpoints, tmp_path):
    with only_writer(tmp_path), pytest.raises(UserError, match='another run is writing'), only_writer(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    make_labelled(tmp_path / 'gen', 2)
    words = ('--model_path', checkpoints['single_scale'], '--dataroot', tmp_path / 'gen', *SMALL)
    (tmp_path / 'out').mkdir()
    with only_writer(tmp_path / 'out'):
        assert 'another run is writing' in fails('test.py', *words, '--output_dir', tmp_path / 'out')


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda frame: frame.head(0), 'no rows below the heading'),
        (lambda frame: frame.assign(label=frame['label'] * 2), '1 rows have a logit .* the first on line 3'),
        (lambda frame: frame.assign(logit=['1.5', '-']), '1 rows have a logit .* the first on line 3'),
    ],
)
def test_score_files_with_rows_that_cannot_be_are_refused(tmp_path, change, reason):
    row = {'table': 't', 'generator': 'g', 'path': 'a', 'logit': '0.5', 'score': '0.6'}
    frame = pd.DataFrame([{**row, 'label': 0}, {**row, 'label': 1}])
    frame.to_csv(tmp_path / 'good.csv', index=False)
    assert read_scores(tmp_path / 'good.csv')['logit'].dtype == float
    change(frame).to_csv(tmp_path / 'bad.csv', index=False)
    with pytest.raises(UserError, match=reason):
        read_scores(tmp_path / 'bad.csv')
