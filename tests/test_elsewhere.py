"""Images of generators that have no part in this project; the packages are written here, with small networks."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn

from analysis import elsewhere as table_of_elsewhere
from analysis.leave_one_out import CONDITIONS
from data.listing import find_generators
from generators import elsewhere
from generators.elsewhere import NOISE, Sampler, dcgan, get_parser, main, reduced_centre, reduced_centres, sample
from generators.packages import load_weights
from generators.photos import folder_photos
from networks import create_detector, detector_config, load_checkpoint, save_checkpoint, weights_fingerprint
from util.errors import UserError
from util.files import read_json, write_json

SMALL = Sampler('some/net.pth', channels=(8, 4), classes=3)


class Named(nn.Module):
    """The DCGAN that SMALL describes, with other names of its layers and operations one by one."""

    def __init__(self):
        super().__init__()
        self.a = nn.ConvTranspose2d(NOISE + 3, 8, 4, 1, 0, bias=False)
        self.a_norm = nn.BatchNorm2d(8)
        self.b = nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False)
        self.b_norm = nn.BatchNorm2d(4)
        self.c = nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False)

    def forward(self, x):
        x = torch.relu(self.a_norm(self.a(x)))
        return torch.tanh(self.c(torch.relu(self.b_norm(self.b(x)))))


@pytest.fixture
def published(tmp_path):
    """Its weights, after batch norms have seen something, as a package holds them."""
    torch.manual_seed(0)
    network = Named()
    network(3 * torch.randn(50, NOISE + 3, 1, 1))
    (tmp_path / 'some').mkdir()
    torch.save(network.state_dict(), tmp_path / SMALL.path)
    return network.eval()


def test_weights_under_other_names_make_the_same_images(published, tmp_path):
    noise, path = torch.randn(4, NOISE + 3, 1, 1), tmp_path / SMALL.path
    with torch.inference_mode():
        assert torch.equal(load_weights(dcgan(SMALL), path).eval()(noise), published(noise))
        torch.save({'net': published.state_dict(), 'epoch': 3}, path)
        assert torch.equal(load_weights(dcgan(SMALL), path, 'net').eval()(noise), published(noise))


def test_images_are_drawn_from_noise_and_a_class_each(published, tmp_path, monkeypatch):
    seen = []

    def network(noise):
        seen.append(noise)
        return published(noise)

    def loaded(_, path, key):
        assert (path, key) == (tmp_path / SMALL.path, '')
        return SimpleNamespace(eval=lambda: network)

    monkeypatch.setattr(elsewhere, 'load_weights', loaded)
    monkeypatch.setattr(elsewhere, 'BATCH', 30)
    images = sample(SMALL, tmp_path, 40, seed=1)
    assert [len(noise) for noise in seen] == [30, 10]
    seen = [torch.cat(seen)]
    assert images.shape == (40, 16, 16, 3) and images.dtype == np.uint8 and SMALL.side == 16
    noise = seen[0][:, :, 0, 0]
    assert abs(noise[:, :NOISE].std() - 1) < 0.05 and abs(noise[:, :NOISE].mean()) < 0.05
    classes = noise[:, NOISE:]
    assert ((classes == 0) | (classes == 1)).all() and (classes.sum(1) == 1).all() and (classes.sum(0) > 3).all()
    with torch.inference_mode():
        expected = (published(seen[0]).permute(0, 2, 3, 1) + 1) / 2 * 255
    assert np.abs(images - expected.numpy()).max() <= 0.501  # rounded
    assert np.array_equal(sample(SMALL, tmp_path, 40, seed=1), images)
    assert not np.array_equal(sample(SMALL, tmp_path, 40, seed=2), images)


@pytest.mark.parametrize('damage', ['other layers', 'no weights', 'missing'])
def test_wrong_weights_are_refused_by_name(published, tmp_path, damage):
    path = tmp_path / SMALL.path
    if damage == 'other layers':
        torch.save(dcgan(Sampler('', channels=(8, 6), classes=3)).state_dict(), path)
    elif damage == 'no weights':
        path.write_bytes(b'none')
    else:
        path.unlink()
    said = 'no such file' if damage == 'missing' else 'not the weights of this network'
    with pytest.raises(UserError, match=rf'some/net\.pth: {said}'):
        load_weights(dcgan(SMALL), path)


def test_the_centre_is_cut_square_and_averaged():
    pixels = np.full((64, 128), 255, np.uint8)
    pixels[:, 32:96] = 200 * (np.indices((64, 64)).sum(0) % 2)  # a checkerboard, which sampling would alias
    pixels[:32, 32:64] //= 2
    found = np.asarray(reduced_centre(Image.fromarray(pixels).convert('RGB'), 8)).astype(int)
    assert found.shape == (8, 8, 3)
    inner = found[1:-1, 1:-1]  # within the kernel of an edge nothing is exact
    assert np.abs(inner[4:, 4:] - 100).max() <= 5 and np.abs(inner[:2, :2] - 50).max() <= 5


def test_no_photograph_is_enlarged(tmp_path):
    for i, size in enumerate([(20, 15), (16, 40), (64, 48)]):
        Image.effect_noise(size, 60).convert('RGB').save(tmp_path / f'{i}.png')
    photos = folder_photos(tmp_path)
    found = [np.asarray(image) for image in reduced_centres(photos, 16)]
    assert len(found) == 2 and np.array_equal(found[0], np.asarray(Image.open(tmp_path / '1.png'))[12:28])
    with pytest.raises(UserError, match='not one photograph has 64 x 64 pixels'):
        list(reduced_centres(photos, 64))


def test_a_folder_for_each_generator_is_written(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(elsewhere, 'SAMPLERS', {'dcgan_small': SMALL})
    monkeypatch.setattr(elsewhere, 'GEMINI', ('people/a.jpg', 'people/b.jpg'))
    (tmp_path / 'people').mkdir()
    for name in 'ab':
        Image.effect_noise((40, 30), 60).convert('RGB').save(tmp_path / f'people/{name}.jpg')
    (tmp_path / 'photos').mkdir()
    for i in range(3):
        Image.effect_noise((48, 40), 60).convert('RGB').save(tmp_path / f'photos/{i}.jpg')
    words = ['--photos', str(tmp_path / 'photos'), '--out', str(tmp_path / 'out'), '--published', str(tmp_path)]
    monkeypatch.setattr(elsewhere, 'sample', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(get_parser().parse_args(words))
    monkeypatch.setattr(elsewhere, 'sample', sample)
    broken = tmp_path / 'photos/1b.jpg'
    broken.write_bytes((tmp_path / 'photos/1.jpg').read_bytes()[:400])
    main(get_parser().parse_args([*words, '--count', '5']))  # nothing unfinished is in its way
    out, said = tmp_path / 'out', capsys.readouterr().out
    assert '1 left out:' in said and str(broken) in said
    broken.unlink()
    assert not list(tmp_path.glob('.*'))
    assert {each.name for each in find_generators(out)} == {'gemini_3_pro', 'dcgan_small'}
    copies = {label: sorted((out / 'gemini_3_pro' / label).iterdir()) for label in ('0_real', '1_fake')}
    for label, folder in (('0_real', 'photos'), ('1_fake', 'people')):
        originals = sorted((tmp_path / folder).iterdir())
        assert [p.read_bytes() for p in copies[label]] == [p.read_bytes() for p in originals]
    sizes = {Image.open(p).size for p in (out / 'dcgan_small').rglob('*.png')}
    assert sizes == {(16, 16)} and len(list((out / 'dcgan_small/1_fake').iterdir())) == 5
    assert len(list((out / 'dcgan_small/0_real').iterdir())) == 3
    with pytest.raises(UserError, match='exists already'):
        main(get_parser().parse_args(words))
    for photo in (tmp_path / 'photos').iterdir():
        photo.write_bytes(b'none')
    with pytest.raises(UserError, match=r'not one photograph could be used, as .*0\.jpg'):
        main(get_parser().parse_args([*words[:3], str(tmp_path / 'other'), *words[4:]]))


@pytest.fixture
def scored(tmp_path):
    """What robustness.py leaves of two detectors and two generators."""
    config, rng, frames = detector_config('single_scale', fine=True), np.random.default_rng(0), {}
    detectors = {f'some_seed_{seed}': {'model_path': str(tmp_path / f'{seed}.pth')} for seed in (0, 1)}
    for seed, (name, facts) in enumerate(detectors.items()):
        weights = create_detector(config).state_dict()
        save_checkpoint(facts['model_path'], config, weights, calibration={'threshold': 0.5 + seed})
        facts['weights'] = weights_fingerprint(weights)
        for condition in CONDITIONS:
            labels, generators = np.tile([0, 1], 40), np.repeat(['far', 'near'], 40)
            logits = rng.normal(size=80) + labels * np.where(generators == 'far', 3, 0.5)
            frame = pd.DataFrame({'table': 'x', 'generator': generators, 'label': labels, 'path': 'x', 'logit': logits})
            (tmp_path / name / condition).mkdir(parents=True)
            frame.assign(score=0.5).to_csv(tmp_path / name / condition / 'scores.csv', index=False)
            frames[name, condition] = frame
    write_json(tmp_path / 'robustness.json', {'detectors': detectors})
    return frames


def test_a_table_of_every_generator_elsewhere(scored, tmp_path, capsys):
    table_of_elsewhere.main(table_of_elsewhere.get_parser().parse_args([str(tmp_path)]))
    found = read_json(tmp_path / 'elsewhere.json')
    assert found['seeds'] == ['some_seed_0', 'some_seed_1'] and found['images'] == {'far': [20, 20], 'near': [20, 20]}
    for (name, condition), frame in scored.items():
        seed = found['seeds'].index(name)
        for generator, part in frame.groupby('generator'):
            entry = found['generators'][condition][generator]
            assert entry['auc'][seed] == pytest.approx(roc_auc_score(part['label'], part['logit']))
            fakes = part['logit'][part['label'] == 1]
            assert entry['fake_accuracy'][seed] == pytest.approx((fakes > 0.5 + seed).mean())
    assert found['summary']['jpeg_75']['auc']['lowest_generator'] == 'near'
    text = (tmp_path / 'elsewhere.md').read_text()
    assert text in capsys.readouterr().out and text.startswith('| Generator') and 'mean over 2 seeds' in text


def test_generators_of_one_name_are_not_taken_together(scored, tmp_path):
    path = tmp_path / 'some_seed_0/as_is/scores.csv'
    frame = pd.read_csv(path)
    frame.loc[frame['generator'] == 'near', 'table'] = 'y'
    frame.to_csv(path, index=False)
    assert table_of_elsewhere.summarise(tmp_path)['images']['near'] == [20, 20]
    frame.loc[frame.index[frame['generator'] == 'near'][:3], 'table'] = 'x'
    frame.to_csv(path, index=False)
    with pytest.raises(UserError, match='several tables have a generator called near; rename'):
        table_of_elsewhere.summarise(tmp_path)


def test_folders_that_cannot_be_summarised_are_named(scored, tmp_path):
    with pytest.raises(UserError, match=r'no robustness\.json in it'):
        table_of_elsewhere.summarise(tmp_path / 'some_seed_0')
    path = tmp_path / 'some_seed_1/jpeg_95/scores.csv'
    path.rename(tmp_path / 'kept')
    with pytest.raises(UserError, match='with --perturbations jpeg'):
        table_of_elsewhere.summarise(tmp_path)
    (tmp_path / 'kept').rename(path)
    frame = pd.read_csv(path)
    frame[(frame['generator'] == 'far') | (frame['label'] == 1)].to_csv(path, index=False)
    with pytest.raises(UserError, match='near has one class only; run'):
        table_of_elsewhere.summarise(tmp_path)
    frame.to_csv(path, index=False)
    checkpoint = load_checkpoint(tmp_path / '1.pth')
    save_checkpoint(tmp_path / '1.pth', checkpoint['config'], checkpoint['model'])
    with pytest.raises(UserError, match='no threshold in it'):
        table_of_elsewhere.summarise(tmp_path)
    config = checkpoint['config']
    plain = {key: value for key, value in config.items() if key != 'fine'}
    kinds = (({**config, 'copy': 0.5}, None, 'copy'), (plain, None, 'fine'), (config, 0.1, 'false_alarm_rate'))
    for config, rate, word in kinds:
        calibration = {'threshold': 0, 'false_alarm_rate': rate}
        save_checkpoint(tmp_path / '1.pth', config, checkpoint['model'], calibration=calibration)
        with pytest.raises(UserError, match=f'some_seed_1 and some_seed_0 differ in .*{word}, so their mean'):
            table_of_elsewhere.summarise(tmp_path)
    other = create_detector(checkpoint['config']).state_dict()
    save_checkpoint(tmp_path / '1.pth', checkpoint['config'], other, calibration={'threshold': 0})
    with pytest.raises(UserError, match='trained anew since'):
        table_of_elsewhere.summarise(tmp_path)
