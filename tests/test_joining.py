"""One detector out of several."""

import pytest
import torch

import join
from networks import create_detector, detector_config, load_checkpoint, load_detector, save_checkpoint
from networks.checkpoint import CheckpointError
from util.errors import UserError


@pytest.fixture
def members(tmp_path):
    """Three checkpoints of fine detectors at 0.5, 0.5 and 0.25 with weights of their own."""
    found = []
    for number, scale in enumerate((0.5, 0.5, 0.25)):
        torch.manual_seed(number)
        config = detector_config('single_scale', [scale], fine=True)
        state = create_detector(config).state_dict()
        for name, value in state.items():
            if 'running_var' in name:
                value.uniform_(0.5, 2)
        save_checkpoint(tmp_path / f'{number}.pth', config, state, pixels={'load_size': None, 'crop_size': 64})
        found.append(str(tmp_path / f'{number}.pth'))
    return found


def made(paths, out):
    join.main(join.get_parser().parse_args([*paths, '--out', str(out)]))
    return load_detector(out)


@pytest.mark.parametrize('chosen', [(0, 1), (0, 2), (2, 1)])
def test_the_logit_is_the_mean_of_the_members(members, chosen, tmp_path):
    paths = [members[i] for i in chosen]
    detector, config = made(paths, tmp_path / 'new' / 'joined.pth')
    images = torch.randn(4, 3, 40, 56)
    with torch.inference_mode():
        logits = torch.cat([load_detector(path)[0](images) for path in paths], 1)
        fused, weights, branches = detector(images, return_branches=True)
    torch.testing.assert_close(fused[:, 0], logits.mean(1))
    torch.testing.assert_close(branches, logits)
    torch.testing.assert_close(weights, torch.full((4, 2), 0.5))
    assert config['pixels'] == {'load_size': None, 'crop_size': 64} and not detector.has_attention


def test_what_cannot_be_joined_is_named(members, tmp_path):
    with pytest.raises(UserError, match='two or more different checkpoints'):
        made(members[:1], tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='one several times'):
        made(members, tmp_path / 'x.pth')
    other = tmp_path / 'resized.pth'
    content = load_checkpoint(members[0])
    save_checkpoint(other, **{**content, 'pixels': {'load_size': 256, 'crop_size': 224}})
    with pytest.raises(CheckpointError, match='was trained on'):
        made([members[1], str(other)], tmp_path / 'x.pth')
    save_checkpoint(other, **{**content, 'model': {'a': torch.zeros(1)}})
    with pytest.raises(CheckpointError, match='do not make a detector'):
        made([members[1], str(other)], tmp_path / 'x.pth')
    save_checkpoint(other, **content)
    with pytest.raises(UserError, match='two or more different checkpoints'):
        made([members[0], str(other)], tmp_path / 'x.pth')
    with pytest.raises(UserError, match='is one of the checkpoints'):
        made(members[:2], members[1])
    wide = detector_config('single_scale')
    save_checkpoint(other, wide, create_detector(wide).state_dict())
    with pytest.raises(CheckpointError, match='only detectors of'):
        made([members[0], str(other)], tmp_path / 'x.pth')
    assert not (tmp_path / 'x.pth').exists()
