"""Statistics of attention weights from score files, and visualize_attention.py."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from analysis.attention import (
    analyse,
    by_generator,
    coarseness,
    correlation,
    distances,
    entropies,
    explained_share,
    family_consistency,
    separation,
)
from analysis.attention_text import sentences
from analysis.scores import read_scores, score_frame
from data.samples import choose_evenly
from tests.conftest import SMALL, write_scores

SCALES = (0.25, 0.5, 0.75)


def scored(places, rng, images=20, noise=0.02):
    """A score frame: generators of {(table, generator, family): mean weights of fakes}; reals weigh all alike."""
    rows, weights, logits = [], [], []
    for (table, generator, family), fake in places.items():
        for label, mean in ((0, (1 / 3, 1 / 3, 1 / 3)), (1, fake)):
            for i in range(images):
                rows.append((table, generator, label, f'{table}/{generator}/{label}/{i}.png', family))
                drawn = np.abs(np.array(mean) + noise * rng.normal(size=3))
                weights.append(drawn / drawn.sum())
                logits.append((2 * label - 1) + rng.normal())
    return score_frame(rows, np.array(logits), np.array(weights), SCALES)


def test_coarseness_and_entropy_by_hand():
    weights = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(coarseness(weights, SCALES), [2, 1.5, (2 + 1 + np.log2(4 / 3)) / 3])
    np.testing.assert_allclose(entropies(weights), [0, np.log(2), np.log(3)])
    np.testing.assert_allclose(distances([[1, 0], [0, 1], [1, 0]]), [[0, 1, 0], [1, 0, 1], [0, 1, 0]], atol=1e-12)


def test_statistics_per_generator_equal_plain_loops():
    frame = scored({('t', 'a', 'gan'): (0.6, 0.3, 0.1), ('t', 'b', ''): (0.1, 0.1, 0.8)}, np.random.default_rng(0))
    first, second = by_generator(frame)
    own = frame[(frame['generator'] == 'a') & (frame['label'] == 1)]
    assert first['fake']['mean']['0.5'] == pytest.approx(own['attention_0.5'].mean())
    assert first['fake']['std']['0.5'] == pytest.approx(own['attention_0.5'].std())
    assert first['fake']['images'] == 20 and first['family'] == 'gan' and second['family'] == ''
    assert first['shift'] == pytest.approx(first['fake']['coarseness'] - first['real']['coarseness'])
    assert first['shift'] > 0.2 and second['shift'] < -0.2
    assert by_generator(frame[frame['label'] == 1])[0]['shift'] is None


def test_explained_share_is_the_anova_ratio_and_its_p_value_is_uniform_without_groups():
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=(30, 3)), rng.integers(0, 4, 30)
    within = sum(np.square(values[groups == g] - values[groups == g].mean(0)).sum() for g in range(4))
    assert explained_share(values, groups) == pytest.approx(1 - within / np.square(values - values.mean(0)).sum())
    nothing = [
        separation(rng.dirichlet((2, 2, 2), 40), np.repeat(list('abcd'), 10), permutations=99, seed=i)['p']
        for i in range(100)
    ]
    assert stats.kstest(nothing, 'uniform').pvalue > 0.01
    weights = np.concatenate([rng.dirichlet((9, 2, 2), 20), rng.dirichlet((2, 2, 9), 20)])
    found = separation(weights, ['a'] * 20 + ['b'] * 20)
    assert found['share'] > 0.5 and found['p'] == pytest.approx(0.001)
    assert separation(weights, ['a'] * 40) is None


def test_families_that_differ_are_found_and_those_that_do_not_are_not():
    rng = np.random.default_rng(2)
    names = [f'g{i}' for i in range(10)]
    apart = {
        ('t', n, 'gan' if i < 5 else 'diffusion'): (0.7, 0.2, 0.1) if i < 5 else (0.1, 0.2, 0.7)
        for i, n in enumerate(names)
    }
    found = family_consistency(by_generator(scored(apart, rng)))
    assert found['families'] == {'gan': 5, 'diffusion': 5} and found['silhouette'] > 0.8 and found['p'] < 0.02
    assert found['within'] < 0.05 < found['between']
    alike = {key: (0.2, 0.3, 0.5) for key in apart}
    assert family_consistency(by_generator(scored(alike, rng)))['p'] > 0.05
    # Relatives count once, controls and decoders trained on not at all, and one family is none to compare.
    related = {('t', name, 'diffusion'): (0.1, 0.2, 0.7) for name in ('ldm_100', 'ldm_200', 'ldm_200_cfg')}
    related |= {('U4_controls', 'x', 'control'): (0.1, 0.2, 0.7), ('U0_seen', 'y', 'gan'): (0.1, 0.2, 0.7)}
    related |= {('t', name, 'gan'): (0.7, 0.2, 0.1) for name in ('progan', 'stargan')}
    assert family_consistency(by_generator(scored(related, rng)))['families'] == {'gan': 2, 'diffusion': 1}
    only = {key: value for key, value in related.items() if key[2] == 'diffusion'}
    assert family_consistency(by_generator(scored(only, rng))) is None


def test_correlation_equals_scipy_and_says_nothing_of_three_generators():
    rng = np.random.default_rng(3)
    x = rng.normal(size=12).round(1)
    y = (x + rng.normal(size=12)).round(1)
    found, expected = correlation(x, y), stats.spearmanr(x, y)
    assert found['rho'] == pytest.approx(expected.statistic) and found['low'] < found['rho'] < found['high']
    assert found['p'] == pytest.approx(expected.pvalue, abs=0.03)
    assert correlation(x[:3], y[:3]) is None and correlation(x, np.ones(12)) is None


def test_sentences_follow_the_numbers():
    rng = np.random.default_rng(4)
    families = {
        ('t', f'g{i}', 'gan' if i < 5 else 'diffusion'): (0.7, 0.2, 0.1) if i < 5 else (0.1, 0.2, 0.7)
        for i in range(10)
    }
    text = ' '.join(sentences(analyse(scored(families, rng))))
    assert 'Families differ.' in text and 'what images show' not in text and 'over 10 generators' in text
    one = ' '.join(sentences(analyse(scored({('t', 'a', ''): (0.1, 0.1, 0.8)}, rng))))
    assert one.count('cannot be asked') == 3
    frame = scored(families, rng)  # reals of different sets differ as much as fakes do
    columns = [f'attention_{scale:g}' for scale in SCALES]
    frame.loc[frame['label'] == 0, columns] = frame.loc[frame['label'] == 1, columns].to_numpy()
    assert 'what images show' in ' '.join(sentences(analyse(frame)))


def test_images_are_chosen_evenly():
    labels, groups = np.array([0] * 6 + [1] * 3 + [0] * 2 + [1] * 7), np.array([0] * 9 + [1] * 9)
    chosen = choose_evenly(labels, groups, 6, seed=0)
    assert labels[chosen].tolist() == [0, 1] * 3 and len(set(chosen)) == 6
    assert groups[chosen].tolist() == [0, 0, 1, 1, 0, 0]  # real and fake of one generator, then of the other
    assert chosen == choose_evenly(labels, groups, 6, seed=0) != choose_evenly(labels, groups, 6, seed=1)
    assert sorted(choose_evenly(labels, groups, 99, seed=0)) == list(range(18))
    assert labels[choose_evenly(labels, groups, 17, seed=0)].sum() == 9  # eight reals are all there are
    assert labels[choose_evenly(np.ones(5, int), np.zeros(5, int), 3, seed=0)].tolist() == [0, 0, 0]


def test_visualize_attention_as_the_proposal_prints_it(call, fails, checkpoints, forensynths, tmp_path):
    words = [
        '--dataroot', forensynths / 'test' / 'stylegan', '--output_dir', tmp_path / 'v',
        '--scales', '0.25,0.5,0.75', '--num_samples', '5', '--save_npr_maps', '--gpu_id', '-1', *SMALL,
    ]  # fmt: skip
    status, out, _ = call('visualize_attention.py', '--model_path', checkpoints['multiscale_attention'], *words)
    assert status == 0 and 'stylegan' in out and 'cannot be asked of one generator' in out
    frame = read_scores(tmp_path / 'v' / 'scores.csv')
    (entry,) = json.loads((tmp_path / 'v' / 'attention.json').read_text())['generators']
    fake = frame[frame['label'] == 1]
    assert entry['fake']['mean']['0.25'] == pytest.approx(fake['attention_0.25'].mean()) and len(frame) == 14
    maps = sorted((tmp_path / 'v' / 'npr_maps').iterdir())
    assert len(maps) == 5 * 3 * 2 and np.load(maps[0]).shape == (32, 32)
    assert all((tmp_path / 'v' / name).stat().st_size > 5000 for name in ('attention.png', 'panels_01.png'))
    assert not (tmp_path / 'v' / 'heatmap.png').exists()
    message = fails('visualize_attention.py', '--model_path', checkpoints['single_scale'], *words[:4], *SMALL)
    assert 'has no attention to show' in message and 'visualize_cam.py' in message


def test_a_whole_root_and_its_score_file_give_the_same_files_every_time(
    call, fails, checkpoints, forensynths, tmp_path
):
    model = ('--model_path', checkpoints['multiscale_attention'], *SMALL)
    root = ('--dataroot', forensynths / 'test', '--num_samples', '10')
    for name in ('one', 'two'):
        assert call('visualize_attention.py', *model, *root, '--output_dir', tmp_path / name)[0] == 0
    assert call('test.py', *model, *root[:2], '--output_dir', tmp_path / 'results')[0] == 0
    scores = ('--scores', tmp_path / 'results' / 'scores.csv', '--num_samples', '10')
    status, out, _ = call('visualize_attention.py', *scores, '--output_dir', tmp_path / 'three')
    assert status == 0 and 'panels_*.png' in out
    twins = read_scores(scores[1])
    shutil.copytree(forensynths / 'test', tmp_path / 'twins')
    for path in twins['path'].head(2):  # the same name with another suffix
        image = tmp_path / 'twins' / path
        shutil.copy(image, image.with_suffix('.webp'))
    words = ('--dataroot', tmp_path / 'twins', '--num_samples', '30', '--save_npr_maps', '--output_dir')
    assert call('visualize_attention.py', *model, *words, tmp_path / 'maps')[0] == 0
    assert len(list((tmp_path / 'maps' / 'npr_maps').glob('*.npy'))) == 3 * (len(twins) + 2)
    pictures = {'attention.md', 'attention.png', 'heatmap.png', 'correlation.png', 'panels_01.png', 'panels_02.png'}
    for name in pictures:
        files = [(tmp_path / folder / name).read_bytes() for folder in ('one', 'two', 'three')]
        assert files[0] == files[1] == files[2], name
    moved = read_scores(scores[1]).assign(path=lambda frame: 'gone/' + frame['path'])
    write_scores(moved, scores[1])
    status, out, _ = call('visualize_attention.py', *scores, '--output_dir', tmp_path / 'four')
    assert status == 0 and '10 images are not where' in out and not (tmp_path / 'four' / 'panels_01.png').exists()
    assert 'leave out --scales' in fails(
        'visualize_attention.py', *scores, '--scales', '0.5,0.25', '--output_dir', tmp_path / 'five'
    )
    message = fails('visualize_attention.py', '--scores', tmp_path / 'typo.csv', '--output_dir', tmp_path / 'three')
    assert 'no such score file' in message and pictures <= {path.name for path in (tmp_path / 'three').iterdir()}
