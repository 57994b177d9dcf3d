"""One training step: the losses and their definitions, parts of a batch, the learning rate."""

import numpy as np
import pytest
import torch

from networks import create_detector, detector_config
from networks.cam import activation_maps
from networks.trainer import Trainer, attention_entropy, learning_rate
from options.train_options import get_config, get_parser
from util.errors import UserError


def test_flags_of_later_versions_leave_older_configs_as_they_were():
    words, parser = ['--name', 'x', '--dataroot', 'y', '--model_type', 'single_scale'], get_parser()
    assert get_config(parser.parse_args(words)) == detector_config('single_scale')
    assert get_config(parser.parse_args([*words, '--grids', '1'])) == detector_config('single_scale')
    config = get_config(parser.parse_args([*words, '--fine', '--grids', '2']))
    assert config == detector_config('single_scale', fine=True, grids=2)
    words[-1:] = ['multiscale_attention', '--npr_scales', '0.5,0.5']
    config = get_config(parser.parse_args([*words, '--grids', '1,2']))
    assert config['npr_scales'] == (0.5, 0.5) and config['grids'] == (1, 2)
    with pytest.raises(UserError, match='for each of 2 scales'):
        get_config(parser.parse_args([*words, '--grids', '1,2,1']))


def test_rate_is_reduced_as_in_the_papers_code():
    rates = [learning_rate(2e-4, epoch, 10) for epoch in range(50)]
    assert (
        rates[:10] == [2e-4] * 10 and rates[10] == pytest.approx(1.8e-4) and rates[49] == pytest.approx(2e-4 * 0.9**4)
    )
    assert learning_rate(2e-4, 10_000, 10) == 1e-6


def test_loss_and_aids_equal_their_definitions():
    """One SGD step without momentum moves the weights by rate times gradient of the loss that is documented."""
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1, 0, 1, 0])
    detector = create_detector(detector_config('multiscale_attention'))
    detector.attention_fusion.mlp[2].p = 0.0
    twin = create_detector(detector_config('multiscale_attention'))
    twin.load_state_dict(detector.state_dict())
    twin.attention_fusion.mlp[2].p = 0.0
    twin.train()
    logits, weights, branches = twin(images, return_branches=True)
    soft = torch.where(labels == 1, 0.9, 0.1)
    fused = -(soft * logits[:, 0].sigmoid().log() + (1 - soft) * (-logits[:, 0]).sigmoid().log()).mean()
    auxiliary = -(soft[:, None] * branches.sigmoid().log() + (1 - soft[:, None]) * (-branches).sigmoid().log()).mean()
    entropy = -(weights * weights.log()).sum(1).mean()
    expected = fused + 0.3 * auxiliary - 0.1 * entropy
    expected.backward()
    before = twin.classifier.weight.detach().clone()

    trainer = Trainer(
        detector,
        torch.device('cpu'),
        optim='sgd',
        lr=0.5,
        beta1=0.0,
        aux_loss_weight=0.3,
        entropy_weight=0.1,
        label_smoothing=0.2,
    )
    assert trainer.step(images, labels) == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(detector.classifier.weight, before - 0.5 * twin.classifier.weight.grad)
    torch.testing.assert_close(
        attention_entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])), torch.tensor([0.0, np.log(2)]).float()
    )


def test_evidence_trains_every_branch_alone_and_watches_real_images():
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1, 0, 1, 0])
    detector = create_detector(detector_config('multiscale_attention', fine=True, fusion='evidence'))
    twin = create_detector(detector_config('multiscale_attention', fine=True, fusion='evidence'))
    twin.load_state_dict(detector.state_dict())
    branches = twin.train()(images, return_branches=True)[2]
    losses = torch.nn.functional.softplus((1 - 2 * labels.float())[:, None] * branches).mean(0)
    losses[1].backward()  # of the branch at 0.5 alone
    before, own = twin.state_dict(), twin.feature_branches[1].conv1.weight
    trainer = Trainer(detector, torch.device('cpu'), optim='sgd', lr=0.3, beta1=0.0)
    assert trainer.step(images, labels) == pytest.approx(losses.mean().item(), rel=1e-5)
    moved = before['feature_branches.1.conv1.weight'] - 0.3 * own.grad / 3
    torch.testing.assert_close(detector.feature_branches[1].conv1.weight, moved)
    torch.testing.assert_close(detector.classifier.mean, branches.detach()[labels == 0].mean(0))


def patches_of(detector, images):
    """Logits of every position by plain sums, one (N, h, w) for each branch, and the heads' (weight, bias)."""
    trunks = detector.feature_branches if detector.has_branches else [detector]
    head = detector.classifier if detector.has_branches else detector.fc1
    maps, hooks = [], []
    for trunk in trunks:
        hooks.append(trunk.layer2.register_forward_hook(lambda module, inputs, output: maps.append(output)))
    detector(images)
    for hook in hooks:
        hook.remove()
    weights = zip(maps, head.weight, head.bias, strict=True)
    return [(each * weight[:, None, None]).sum(1) + bias for each, weight, bias in weights], head


@pytest.mark.parametrize('options', [('single_scale', {}), ('multiscale_attention', {'fusion': 'evidence'})])
def test_patch_loss_asks_every_position(options):
    images, labels = torch.randn(6, 3, 36, 28), torch.tensor([0, 1, 1, 0, 1, 0])
    config = detector_config(options[0], fine=True, **options[1])
    detector, twin = create_detector(config), create_detector(config)
    twin.load_state_dict(detector.state_dict())
    patches, head = patches_of(twin.train(), images)
    signs = (1 - 2 * labels.float())[:, None, None]
    expected = torch.stack([torch.nn.functional.softplus(signs * each).mean() for each in patches]).mean()
    expected.backward()
    before = head.weight.detach().clone()
    trainer = Trainer(detector, torch.device('cpu'), optim='sgd', lr=0.3, beta1=0.0, patch_loss=True)
    assert trainer.step(images, labels) == pytest.approx(expected.item(), rel=1e-5)
    own = detector.classifier if detector.has_branches else detector.fc1
    torch.testing.assert_close(own.weight, before - 0.3 * head.weight.grad)
    if detector.has_branches:
        means = torch.stack([each.mean((1, 2))[labels == 0].mean() for each in patches])
        torch.testing.assert_close(own.mean, means.detach())
    # In evaluation mode the logit of a branch is the mean of what its positions say, which the maps show.
    with torch.inference_mode():
        found = detector.eval()(images, return_patches=True)
    torch.testing.assert_close(found, activation_maps(detector, images).branches, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('options', [{}, {'fusion': 'uniform'}, {'fusion': 'evidence', 'normalize_features': True}])
def test_detectors_that_weigh_features_of_whole_images_do_not_judge_by_position(options):
    detector = create_detector(detector_config('multiscale_attention', fine=True, **options))
    trainer = Trainer(detector, torch.device('cpu'), patch_loss=True)
    with pytest.raises(ValueError, match='judge by position'):
        trainer.step(torch.randn(2, 3, 32, 32), torch.tensor([0, 1]))


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    class Plain(torch.nn.Module):  # no batch norms, which see parts
        has_branches = False

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(12, 1)

        def forward(self, images):
            return self.layer(images.flatten(1)).tanh()

    results = []
    images, labels = torch.randn(7, 3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 2
    for parts in (1, 3, 20):
        torch.manual_seed(1)
        trainer = Trainer(Plain(), torch.device('cpu'), optim='sgd', lr=0.5, accumulate=parts)
        results.append((torch.tensor(trainer.step(images, labels)), *trainer.detector.parameters()))
    for found in results[1:]:
        torch.testing.assert_close(found, results[0])
