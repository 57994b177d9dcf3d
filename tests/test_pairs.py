"""Pairs: a fake of a source drawn at random, and the real image that goes with it."""

import shutil
from collections import Counter

import numpy as np
import pytest

from data.pairs import PairBatches
from data.samples import Sample, Samples
from tests.conftest import command, make_labelled, train_arguments
from util.errors import UserError


@pytest.fixture
def samples(tmp_path):
    """Four sources: aligned files, reals of other names, fakes alone, reals alone."""
    files = {
        'aligned': ([f'{i}.png' for i in range(40)], [f'{i}.png' for i in range(40)]),
        'unaligned': (['real.png', 'other.png'], ['fake.png', 'more.png']),
        'fakes': ([], ['0.png']),
        'reals': (['0.png', '1.png', '2.png'], []),
    }
    return Samples.of(
        Sample(tmp_path / source / ('0_real', '1_fake')[label] / name, label)
        for source, both in files.items()
        for label, names in enumerate(both)
        for name in names
    )


def pairs_of(samples, seed=0, epochs=40, **more):
    batches = PairBatches(samples, 10, seed, **more)
    for epoch in range(epochs):
        batches.position(epoch)
        for batch in batches:
            yield from zip(batch[: len(batch) // 2], batch[len(batch) // 2 :], strict=True)


def source(samples, index):
    return samples[index].path.parent.parent.name


def test_fakes_are_drawn_by_source_and_reals_by_name_then_source(samples):
    drawn, partners = Counter(), Counter()
    for (fake, draw), (real, other) in pairs_of(samples):
        assert samples.labels[fake] == 1 and samples.labels[real] == 0
        drawn[source(samples, fake)] += 1
        if source(samples, fake) == 'aligned':  # the same file, the same crop
            assert samples[fake].path.name == samples[real].path.name and source(samples, real) == 'aligned'
            assert draw == other
        else:
            assert draw != other
            partners[source(samples, fake), source(samples, real)] += 1
    shares = np.array([drawn[name] for name in ('aligned', 'unaligned', 'fakes')]) / drawn.total()
    assert drawn.total() == 40 * 44 and shares == pytest.approx([1 / 3] * 3, abs=0.04)
    alone = sum(partners['fakes', name] for name in ('aligned', 'unaligned', 'reals'))
    assert partners['fakes', 'reals'] / alone == pytest.approx(1 / 3, abs=0.06)
    with_own = sum(count for (name, _), count in partners.items() if name == 'unaligned')
    assert partners['unaligned', 'unaligned'] / with_own == pytest.approx(1 / 2 + 1 / 6, abs=0.06)


def test_an_epoch_has_the_length_it_says_and_can_be_resumed_and_shared(samples):
    batches = PairBatches(samples, 10, seed=3)
    epoch = list(batches)
    assert len(batches) == len(epoch) == 9 and [len(batch) for batch in epoch] == [10] * 8 + [8]
    batches.position(0, 5)
    assert len(batches) == 4 and list(batches) == epoch[5:]
    batches.position(1)
    assert list(batches) != epoch
    shares = [list(PairBatches(samples, 10, seed=3, rank=rank, world=2)) for rank in (0, 1)]
    for share in shares:  # processes, and parts of --accumulate, get both classes
        assert {sum(samples.labels[index] for index, _ in batch) for batch in share} <= {2, 3}
    assert [sorted(one + other) for one, other in zip(*shares, strict=True)] == [sorted(batch) for batch in epoch]


def test_an_odd_list_loses_one_image(samples):
    odd = Samples.of([*samples, Sample(samples[0].path.with_name('more.png'), 0)])
    assert len(odd) % 2 and sum(map(len, PairBatches(odd, 2, seed=0))) == len(odd) - 1 == 2 * len(
        PairBatches(odd, 2, 0)
    )


def test_single_classes_are_refused(samples):
    with pytest.raises(UserError, match='real and fake'):
        PairBatches(Samples.of(each for each in samples if each.label), 4, seed=0)


def test_train_takes_sources_of_one_class(tmp_path):
    for split in ('train', 'val'):
        make_labelled(tmp_path / 'data' / split / 'one', 4)
        make_labelled(tmp_path / 'data' / split / 'two', 4, seed=1)
        for i in range(4):  # the second source has fakes alone
            (tmp_path / 'data' / split / 'two' / '0_real' / f'{i}.png').unlink()
    words = train_arguments(tmp_path / 'data', tmp_path / 'runs', niter=1)
    refused = command('train.py', *words, check=False)
    assert refused.returncode and 'no images under 0_real' in refused.stderr
    done = command('train.py', *words, '--pairs')
    assert '12 training and 12 validation images' in done.stdout
    assert 'not allowed with' in command('train.py', *words, '--pairs', '--class_bal', check=False).stderr


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_split_of_one_class_is_refused_before_anything_is_written(fails, tmp_path, split):
    for name in ('train', 'val'):
        make_labelled(tmp_path / 'data' / name / 'one', 2)
    shutil.rmtree(tmp_path / 'data' / split / 'one' / '0_real')
    message = fails('train.py', *train_arguments(tmp_path / 'data', tmp_path / 'runs', pairs=True))
    assert f'data/{split}: no images under 0_real/' in message and not (tmp_path / 'runs').exists()
