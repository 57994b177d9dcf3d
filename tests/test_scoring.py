"""The pass over images: sharing it among processes, and going on after a kill."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.images import BadImages
from data.journal import Journal
from data.listing import list_samples
from data.loop import over_images
from data.transforms import ScoreTransform
from session import Scorer
from tests.conftest import SMALL, make_labelled
from util.errors import UserError
from util.machine import Processes


class TogetherProcesses(Processes):
    """Threads that gather as processes do."""

    shared = None

    def gather(self, value):
        values, barrier = self.shared
        values[self.rank] = value
        barrier.wait(20)
        result = list(values)
        barrier.wait(20)
        return result


def together(world, work):
    """`work(processes)` in `world` threads; returns what each returned, or the exception it raised."""
    shared, results = ([None] * world, threading.Barrier(world)), [None] * world

    def run(rank):
        processes = TogetherProcesses(rank, world)
        object.__setattr__(processes, 'shared', shared)
        try:
            results[rank] = work(processes)
        except Exception as error:
            results[rank] = error
            shared[1].abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def samples(tmp_path):
    make_labelled(tmp_path / 'images', 6)
    return list_samples(tmp_path / 'images')


class Score:
    """Means as logits and weights; raises when it is asked for batch number `dies_at`."""

    def __init__(self, dies_at=None):
        self.dies_at, self.images = dies_at, 0

    def __call__(self, images):
        if self.dies_at == 0:
            raise KeyboardInterrupt
        self.dies_at = self.dies_at and self.dies_at - 1
        self.images += len(images)
        return images.mean((1, 2, 3)), torch.softmax(images.mean((2, 3)), 1)


def scored(samples, processes, score=None, journal=None, bad='stop'):
    transform = ScoreTransform(None, None)
    return over_images(score or Score(), samples, transform, 2, 0, BadImages(bad), processes, '', journal=journal)


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=6e-6)  # a journal keeps five decimals


def test_shared_passes_equal_a_single_one(samples):
    expected = scored(samples, Processes())
    assert expected[0].tolist() == list(range(12))
    for found in together(2, lambda processes: scored(samples, processes)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('world', [1, 2])
def test_a_killed_pass_goes_on_and_ends_as_if_it_never_was(samples, tmp_path, world):
    expected = scored(samples, Processes())
    with pytest.raises(KeyboardInterrupt):
        scored(samples, Processes(), Score(dies_at=3), Journal(tmp_path, {'of': 1}, Processes()))
    (part,) = tmp_path.glob('scores.part-*')
    part.write_text(part.read_text()[:-7])  # the kill cut the third line short
    scores = [Score() for _ in range(world)]

    def go_on(processes):
        journal = Journal(tmp_path, {'of': 1}, processes)
        assert journal.finished == {0: 2, 1: 2}
        return scored(samples, processes, scores[processes.rank], journal)

    assert_close(together(world, go_on)[0], expected)
    assert sum(score.images for score in scores) == 8
    journal = Journal(tmp_path, {'of': 1}, Processes())  # killed again, just before the score file is written
    score = Score()
    assert_close(scored(samples, Processes(), score, journal), expected)
    assert score.images == 0
    journal.remove()
    assert not list(tmp_path.glob('scores.part-*'))


def test_another_pass_starts_anew(samples, tmp_path):
    scored(samples, Processes(), journal=Journal(tmp_path, {'of': 1}, Processes()))
    assert not Journal(tmp_path, {'of': 2}, Processes()).finished
    assert not list(tmp_path.glob('scores.part-*'))


def test_bad_images_are_remembered(samples, tmp_path):
    samples[3].path.write_bytes(b'')
    for _ in range(2):  # the second time from the journal alone
        bad = BadImages('skip')
        journal = Journal(tmp_path, {'of': 1}, Processes())
        found = over_images(Score(), samples, ScoreTransform(), 2, 0, bad, Processes(), '', journal=journal)
        assert found[0].tolist() == [i for i in range(12) if i != 3]
        assert str(samples[3].path) in bad.summary()
    assert len(journal.finished) == 6


def test_an_image_that_stops_the_pass_is_not_taken_for_finished(samples, tmp_path):
    samples[3].path.write_bytes(b'')
    with pytest.raises(UserError, match='empty'):
        scored(samples, Processes(), journal=Journal(tmp_path, {'of': 1}, Processes()))
    assert not Journal(tmp_path, {'of': 1}, Processes()).finished  # unreadable headers are tried first
    samples[3].path.write_bytes(samples[2].path.read_bytes()[:600])
    with pytest.raises(UserError, match='cannot be decoded'):
        scored(samples, Processes(), journal=Journal(tmp_path, {'of': 1}, Processes()))
    assert Journal(tmp_path, {'of': 1}, Processes()).finished == {0: 2}


def test_scores_of_other_files_of_the_same_names_are_not_taken_for_these(checkpoints, tmp_path):
    from options.test_options import get_parser

    flags = get_parser().parse_args(['--model_path', 'x', '--dataroot', 'x', *SMALL, '--batch_size', '4'])
    scorer = Scorer(flags, checkpoints['single_scale'], (torch.device('cpu'), 'fp32', Processes()))
    (tmp_path / 'out').mkdir()

    def scores(root):
        samples = [replace(sample, transform=ScoreTransform(None, None)) for sample in list_samples(tmp_path / root)]
        rows = [('t', 'g', sample.label, sample.path.relative_to(tmp_path / root).as_posix(), '') for sample in samples]
        scorer.to_file(samples, rows, '', tmp_path / 'out', again=False)
        return (tmp_path / 'out' / 'scores.csv').read_bytes()

    for root in ('a', 'b'):
        make_labelled(tmp_path / root, 3, seed=ord(root))
    first = scores('a')
    touched = (tmp_path / 'out' / 'scores.csv').stat().st_mtime_ns
    assert scores('a') == first and (tmp_path / 'out' / 'scores.csv').stat().st_mtime_ns == touched
    assert scores('b') != first
    assert scores('a') == first


def test_lost_images_are_noticed(samples, tmp_path):
    scored(samples, Processes(), journal=Journal(tmp_path, {'of': 1}, Processes()))
    journal = Journal(tmp_path, {'of': 1}, Processes())
    (part,) = tmp_path.glob('scores.part-*')  # as on a disk that not every process sees
    part.write_text(''.join(part.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match='10 of 12 images were scored'):
        scored(samples, Processes(), journal=journal)


def test_an_unreadable_file_stops_all_processes_before_they_score(samples):
    samples[3].path.write_bytes(b'')
    scores = [Score(), Score()]
    found = together(2, lambda processes: scored(samples, processes, scores[processes.rank]))
    assert all(isinstance(error, UserError) for error in found)
    assert sum(score.images for score in scores) == 0
