"""Public tables from pixels to summary: paper mode, published numbers beside ours, a run of test.py."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.scores import read_scores, score_frame
from analysis.summary import means, summarise, table_rows
from data.collection import collect
from data.datasets import ImageDataset, tensor_sizes
from data.images import load_rgb
from data.published import other_pixels, published_results
from data.tables import TABLES, family_of, paper_pixels
from data.transforms import ScoreTransform
from options.base_options import pixel_sizes
from options.test_options import get_parser
from tests.conftest import make_image, make_labelled
from util.errors import UserError
from util.files import read_json

# -- pixels ----------------------------------------------------------------------------------------------------------


def parsed(*words):
    return get_parser().parse_args(['--model_path', 'x', '--dataroot', 'y', *words])


def test_modes_of_the_pixels():
    assert [paper_pixels(table.name)[0] for table in TABLES] == [256, None, 256, 256, 256]
    paper, native, plain = parsed('--mode', 'paper'), parsed('--mode', 'native'), parsed()
    assert pixel_sizes(paper, None, paper_pixels('GANGen-Detection')) == (None, None)
    assert pixel_sizes(paper, None, paper_pixels('ForenSynths')) == pixel_sizes(paper) == (256, None)
    assert pixel_sizes(native) == (None, 224) and pixel_sizes(plain) == (256, 224)
    assert pixel_sizes(parsed('--loadSize', '64', '--cropSize', '32')) == (64, 32)
    for words in (('--loadSize', '256'), ('--cropSize', '224'), ('--no_resize',), ('--no_crop',)):
        with pytest.raises(UserError, match=f'--mode paper already says which pixels: leave out {words[0]}'):
            pixel_sizes(parsed('--mode', 'paper', *words))


def test_a_sample_may_have_pixels_of_its_own(tmp_path):
    for folder in ('ForenSynths_test/biggan', 'GANGen-Detection/AttGAN', 'mine/a'):
        make_labelled(tmp_path / folder, 2, side=16)
    found = collect(tmp_path)
    transforms = {table: ScoreTransform(*paper_pixels(table)) for table in found.tables}
    samples = found.with_pixels(transforms)
    sizes = [tuple(size) for size in tensor_sizes(samples, None).tolist()]
    by_table = {row[0]: size for size, row in zip(sizes, found.rows, strict=True)}
    assert by_table == {'ForenSynths': (256, 256), 'GANGen-Detection': (16, 16), 'mine': (256, 256)}
    for index in (0, 5):
        _, _, tensor = ImageDataset(samples, None)[index, 0]
        expected = transforms[found.rows[index][0]](load_rgb(samples[index].path))
        assert tuple(tensor.shape[1:]) == sizes[index] and (tensor == expected).all()
    assert [replace(sample, transform=None) for sample in samples] == list(found.samples)


# -- summaries -------------------------------------------------------------------------------------------------------


def a_frame(counts, seed=0):
    """{(table, generator): (real, fake)} -> score frame with families."""
    rng = np.random.default_rng(seed)
    rows = [
        (table, name, label, f'{label}/{i}', family_of(table, name))
        for (table, name), both in counts.items()
        for label, count in enumerate(both)
        for i in range(count)
    ]
    return score_frame(rows, rng.normal(size=len(rows)) + [row[2] for row in rows], None, ())


def test_summaries_by_table_family_and_images():
    frame = a_frame({('ForenSynths', 'progan'): (20, 40), ('DiffusionForensics', 'adm'): (10, 10),
                     ('DiffusionForensics', 'ddpm'): (30, 30), ('U4_controls', 'c'): (9, 9)})  # fmt: skip
    summary = summarise(frame, published_results())
    one, two, three, control = summary['generators']
    aps = [entry['ap'] for entry in (one, two, three)]
    assert summary['mean_over'] == 3 and summary['mean']['ap'] == pytest.approx(np.mean(aps))
    assert summary['weighted_mean']['ap'] == pytest.approx(np.dot(aps, (60, 20, 60)) / 140)
    assert summary['std']['ap'] == pytest.approx(np.std(aps, ddof=1)) and summary['minimum']['ap'] == min(aps)
    assert one['balanced_accuracy'] == pytest.approx((one['real_accuracy'] + one['fake_accuracy']) / 2)
    assert list(summary['families']) == ['gan', 'diffusion'] and list(summary['tables']) == [
        'ForenSynths',
        'DiffusionForensics',
    ]
    assert summary['families']['diffusion']['mean']['ap'] == pytest.approx(np.mean(aps[1:]))
    assert summary['tables']['ForenSynths']['std'] is None and control['family'] == 'control'
    assert one['published']['accuracy'] == 0.998 and 'published' not in control
    rows = [' '.join(row) for row in table_rows(summary)]
    assert rows[0].endswith('99.8 100.0') and rows[3].endswith('- -')
    assert [row.split(' mean')[0] for row in rows[4:8]] == [
        'ForenSynths',
        'DiffusionForensics',
        'family gan',
        'family diffusion',
    ]
    assert all(row.endswith('- -') for row in rows[3:])  # published numbers are in no mean
    assert means([])['mean'] is None


def test_other_pixels_than_published_are_said():
    sentences = other_pixels({'ForenSynths': (256, None), 'GANGen-Detection': (None, 224), 'mine': (1, 1)})
    assert len(sentences) == 1 and sentences[0].startswith(
        'GANGen-Detection: scored on native images, centre crop of 224'
    )
    assert 'published on native images, whole; --mode paper' in sentences[0]


def test_test_py_on_the_public_layout(call, fails, checkpoints, tmp_path):
    root = tmp_path / 'tests'
    make_labelled(root / 'ForenSynths_test' / 'StyleGAN' / 'car', 2, side=16)
    make_labelled(root / 'GANGen-Detection' / 'AttGAN', 2, side=16)
    make_image(root / 'UniversalFakeDetect' / 'dalle' / '1_fake' / 'a.png', 0, True, 16)
    make_labelled(root / 'U4_controls' / 'factor1', 1, side=16)
    words = ('--model_path', checkpoints['single_scale'], '--dataroot', root, '--num_threads', '0', '--gpu_ids', '-1')
    out_folder = ('--output_dir', tmp_path / 'out')
    reals = ('--reals', tmp_path / 'tests' / 'GANGen-Detection')
    status, out, error = call('test.py', *words, *out_folder, *reals, '--mode', 'paper')
    assert status == 0, error
    assert (
        'table 5, Diffusion1kStep: not found' in out
        and 'pixels: native, whole images, sides cut to multiples of 8 (GANGen-Detection)' in out
    )
    assert (
        'lent to: UniversalFakeDetect/dalle' in out and 'Published NPR acc.' in out and 'published: as printed' in out
    )
    assert '--mode paper scores as published' not in out
    metrics = read_json(tmp_path / 'out' / 'metrics.json')
    assert [entry['generator'] for entry in metrics['generators']] == ['stylegan', 'AttGAN', 'dalle', 'factor1']
    assert metrics['pixels']['mode'] == 'paper' and metrics['borrowed_reals'] == ['UniversalFakeDetect/dalle']
    assert metrics['pixels']['by_table']['GANGen-Detection'] == {'load_size': None, 'crop_size': None}
    assert len(metrics['not_found']) == 5 and metrics['mean_over'] == 3
    assert 'table 5, Diffusion1kStep: not found' in (tmp_path / 'out' / 'metrics.md').read_text()
    frame = read_scores(tmp_path / 'out' / 'scores.csv')
    lent = frame[(frame['generator'] == 'dalle') & (frame['label'] == 0)]
    assert len(lent) == 2 and set(frame['family']) == {'gan', 'diffusion', 'control'}
    assert (root / lent['path'].iloc[0]).is_file()
    status, out, _ = call('show_failures.py', '--results', out_folder[1], '--worst', '99')  # pixels differ by table
    assert (status, 'no longer' in out) == (0, False)  # lent images are found too
    _, out, _ = call('test.py', *words, *out_folder, '--mode', 'native')
    assert 'ForenSynths: scored on native images, centre crop of 224, published on' in out
    assert 'fake images only' in out
    assert 'leave out --no_crop' in fails('test.py', *words, *out_folder, '--mode', 'paper', '--no_crop')
