"""Checkpoints that must be refused, each with a message that says why."""

import os
import pickle

import pytest
import torch

from networks import (
    CheckpointError,
    create_detector,
    detector_config,
    load_checkpoint,
    load_detector,
    save_checkpoint,
)


@pytest.fixture
def checkpoint(tmp_path):
    config = detector_config('multiscale_attention')
    save_checkpoint(tmp_path / 'multi.pth', config, create_detector(config).state_dict())
    return tmp_path / 'multi.pth'


def test_missing_names_what_is_there(checkpoint):
    with pytest.raises(CheckpointError, match=r'no such checkpoint; in .*: multi\.pth'):
        load_detector(checkpoint.with_name('other.pth'))


def test_other_model_and_other_scales(checkpoint):
    with pytest.raises(
        CheckpointError, match='says model_type multiscale_attention, the command line says single_scale'
    ):
        load_detector(checkpoint, model_type='single_scale')
    with pytest.raises(
        CheckpointError, match=r'npr_scales \(0.25, 0.5, 0.75\), the command line says \(0.75, 0.5, 0.25\)'
    ):
        load_detector(checkpoint, npr_scales=(0.75, 0.5, 0.25))
    assert load_detector(checkpoint, 'multiscale_attention', (0.25, 0.5, 0.75))


def test_bare_weights_need_a_model_type_and_must_fit(tmp_path):
    weights = create_detector(detector_config('single_scale')).state_dict()
    torch.save(weights, tmp_path / 'bare.pth')
    with pytest.raises(CheckpointError, match='--model_type'):
        load_detector(tmp_path / 'bare.pth')
    with pytest.raises(CheckpointError, match=r'do not make a detector \(multiscale_attention\)'):
        load_detector(tmp_path / 'bare.pth', model_type='multiscale_attention')
    torch.save({f'module.{name}': value for name, value in weights.items()}, tmp_path / 'parallel.pth')
    assert load_detector(tmp_path / 'parallel.pth', model_type='single_scale')


@pytest.mark.parametrize(
    'config', [{}, 'x', {'npr_scales': (0.5,)}, {'model_type': 'single_scale', 'npr_scales': (1.5,)}]
)
def test_foreign_configs(tmp_path, config):
    save_checkpoint(tmp_path / 'c.pth', config, create_detector(detector_config('single_scale')).state_dict())
    with pytest.raises(CheckpointError, match='do not make a detector'):
        load_detector(tmp_path / 'c.pth')


def test_bare_weights_with_impossible_scales(tmp_path):
    torch.save(create_detector(detector_config('single_scale')).state_dict(), tmp_path / 'bare.pth')
    with pytest.raises(CheckpointError, match='takes one NPR scale'):
        load_detector(tmp_path / 'bare.pth', 'single_scale', (0.25, 0.5))


class Bomb:
    """Unpickling this would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('write', [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_pickle_is_never_executed(tmp_path, write):
    write({'config': {}, 'model': Bomb(tmp_path / 'executed')}, tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='refused'):
        load_detector(tmp_path / 'evil.pth', model_type='single_scale')
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize('content', [b'', b'hello', b'PK\x03\x04 broken archive'])
def test_damaged_files(tmp_path, content):
    (tmp_path / 'damaged.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match='damaged'):
        load_detector(tmp_path / 'damaged.pth', model_type='single_scale')


def test_truncated_checkpoint(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r'multi\.pth'):
        load_detector(checkpoint)


def test_a_save_through_a_link_changes_what_it_leads_to(checkpoint, tmp_path):
    link = tmp_path / 'elsewhere' / 'link.pth'
    link.parent.mkdir()
    link.symlink_to(checkpoint)
    save_checkpoint(link, **load_checkpoint(checkpoint) | {'epoch': 7})
    assert link.is_symlink() and load_checkpoint(checkpoint)['epoch'] == 7


def test_a_failed_save_keeps_the_old_file(checkpoint, monkeypatch):
    before = checkpoint.read_bytes()

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(OSError, match='disk full'):
        save_checkpoint(checkpoint, {}, {})
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ['multi.pth']
