"""Leaving one generator out: what a training may see, and what is made of the scores."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from analysis.leave_one_out import ALL_CONDITIONS, CONDITIONS, all_scores, measure, summarise, table
from data.perturbations import parse
from data.pixel_facts import colour_grid, smoothness
from data.transforms import jpeg
from leave_one_out import get_parser, main
from networks import (
    create_detector,
    detector_config,
    load_checkpoint,
    load_detector,
    save_checkpoint,
    weights_fingerprint,
)
from report import release_field
from util.errors import UserError
from util.files import read_json


def asked(field, *words):
    return get_parser().parse_args(['--dataroot', str(field), '--out', str(field.parent / 'out'), *map(str, words)])


def scores(seed, shift):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 40)
    logits = rng.normal(size=80) + shift * labels
    return pd.DataFrame(
        {
            'table': 'field',
            'generator': 'x',
            'label': labels,
            'path': [f'{i}.png' for i in range(80)],
            'logit': logits,
            'score': 1 / (1 + np.exp(-logits)),
        }
    )


def test_summary_is_of_the_score_files_and_the_frozen_thresholds(tmp_path):
    config, shifts = detector_config('single_scale', fine=True), {'one': 1.0, 'two': 3.0}
    aucs, above = {}, {condition: [] for condition in ALL_CONDITIONS}
    for name, shift in shifts.items():
        for seed in (0, 1):
            folder = tmp_path / 'checkpoints' / f'{name}_seed_{seed}'
            folder.mkdir(parents=True)
            save_checkpoint(
                folder / 'model_epoch_last.pth',
                config,
                create_detector(config).state_dict(),
                calibration={
                    'threshold': 0.5 + seed,
                    'thresholds': [[0.2, 0.1 + seed], [0.05, 0.5 + seed]][: 2 - seed],
                },
            )
            for number, condition in enumerate(ALL_CONDITIONS):
                place = tmp_path / 'scores' / name / f'{name}_seed_{seed}' / condition
                place.mkdir(parents=True)
                frame = scores(10 * seed + number, shift)
                frame.to_csv(place / 'scores.csv', index=False)
                aucs[condition, name, seed] = roc_auc_score(frame['label'], frame['logit'])
                above[condition].append(
                    [(frame['logit'][frame['label'] == kind] > 0.1 + seed).mean() for kind in (0, 1)]
                )
                if (name, seed, condition) == ('two', 1, 'as_is'):
                    real = float((frame['logit'][:40] <= 1.5).mean())
                    assert measure(frame, 1.5)['real_accuracy'] == pytest.approx(real)
                    assert measure(frame, 1.5)['fake_accuracy'] == float((frame['logit'][40:] > 1.5).mean())
    found = summarise(tmp_path, ['one', 'two', 'never'], (0, 1, 2))
    assert found['seeds'] == [0, 1] and found['images'] == {'one': [40, 40], 'two': [40, 40]}
    assert found['generators']['as_is']['two']['real_accuracy'][1] == pytest.approx(real)
    means = [np.mean([aucs['jpeg_95', name, seed] for name in shifts]) for seed in (0, 1)]
    entry = found['summary']['jpeg_95']['auc']
    assert entry['mean'] == pytest.approx(np.mean(means)) and entry['spread'] == pytest.approx(np.std(means, ddof=1))
    assert entry['lowest_generator'] == 'one'
    assert entry['lowest'] == pytest.approx(np.mean([aucs['jpeg_95', 'one', seed] for seed in (0, 1)]))
    assert set(found['rates']['jpeg_75']) == {'0.2'}  # which all have
    shares = np.mean(above['jpeg_75'], 0)
    assert found['rates']['jpeg_75']['0.2'] == pytest.approx(list(shares))
    found['alone'] = {
        name: {c: {'one': 0.123 + number, 'two': 0.323 + number} for number, c in enumerate(CONDITIONS, first)}
        for name, first in (('smoothness', 0), ('no_grid', 3))
    }
    assert f'{100 * entry["mean"]:.1f}±{100 * entry["spread"]:.1f}' in table(found)
    assert [float(cell) for cell in table(found).splitlines()[-1].split('|')[2:8]] == [22.3 + 100 * i for i in range(6)]
    assert f'{100 * shares[0]:.1f} |' in table(found).partition('How far frozen rates hold')[2].partition('20.0 ')[2]
    resized = next(line for line in table(found).splitlines() if line.startswith('| resized by 1.1 '))
    cells = [cell.strip() for cell in resized.split('|')[2:-1]]
    entry = {metric: part['mean'] for metric, part in found['summary']['resize_1.1'].items()}
    assert cells[0].startswith(f'{100 * entry["auc"]:.1f}±') and cells[2] == 'one'
    assert (
        cells[0][:4] == f'{100 * np.mean([aucs["resize_1.1", name, seed] for name in shifts for seed in (0, 1)]):.1f}'
    )
    assert [cell[:4] for cell in cells[3:]] == [
        f'{100 * entry[kind]:.1f}' for kind in ('real_accuracy', 'fake_accuracy')
    ]
    earlier = {c: found['summary'][c] for c in CONDITIONS}
    assert 'on their way' in table(found) and 'on their way' not in table({**found, 'summary': earlier})
    assert 'How far' not in table({key: value for key, value in found.items() if key != 'rates'})
    frame = all_scores(tmp_path, found)
    assert list(frame.columns) == ['left_out', 'seed', 'condition', 'label', 'file', 'logit']
    one = frame[(frame['left_out'] == 'two') & (frame['seed'] == 1) & (frame['condition'] == 'jpeg_95')]
    assert roc_auc_score(one['label'], one['logit']) == pytest.approx(aucs['jpeg_95', 'two', 1])
    with pytest.raises(UserError, match='no generator was scored'):
        summarise(tmp_path, ['never'], (0,))


def test_from_folders_to_a_table(field, capsys):
    shutil.rmtree(field / 'two')
    words = ['--reals', 'lender', '--niter', 1, '--false_alarm_rate', 0.5, '--side_by_side', 2]
    training = ['--', '--cropSize', 32, '--batch_size', 8, '--num_threads', 0]
    main(asked(field, *words, '--dry_run', '--seeds', '4,5', *training))
    steps = capsys.readouterr().out.splitlines()
    assert len(steps) == 2 * 2 * 4 + 3 and 'all_seed_4' in steps[8] and not any('all_seed_5' in step for step in steps)
    main(asked(field, *words, '--dry_run', *training))
    assert len(capsys.readouterr().out.splitlines()) == 3 * 3 + 2 and not (field.parent / 'out').exists()
    main(asked(field, *words, *training))
    out = field.parent / 'out'
    found = read_json(out / 'leave_one_out.json')
    assert found['images'] == {'bare': [16, 16], 'one': [16, 16]} and (out / 'leave_one_out.png').is_file()
    assert (out / 'checkpoints' / 'all_seed_0' / 'model_epoch_last.pth').is_file()
    lines = pd.read_csv(out / 'scores.csv.gz')
    assert len(lines) == 2 * 8 * 32 and set(lines['file']) == {f'{i}.png' for i in range(16)}
    assert '| mean' in (out / 'leave_one_out.md').read_text()
    assert found['asked']['trained_on'] == {'bare': 14, 'lender': 14, 'one': 28}
    labels, values = [], []
    for label, folder in enumerate((field / 'lender' / '0_real', field / 'bare' / '1_fake')):
        images = [jpeg(Image.open(path).convert('RGB'), 75) for path in sorted(folder.iterdir())]
        values += [(smoothness(np.asarray(image)), -colour_grid(np.asarray(image))) for image in images]
        labels += [label] * len(images)
    for number, column in zip(('smoothness', 'no_grid'), zip(*values, strict=True), strict=True):
        assert found['alone'][number]['jpeg_75']['bare'] == pytest.approx(roc_auc_score(labels, column))
    release_field.main(release_field.get_parser().parse_args([str(out), '--out', str(field.parent / 'released')]))
    detector, config = load_detector(field.parent / 'released' / 'fine_npr.pth')
    trained = load_checkpoint(out / 'checkpoints' / 'all_seed_0' / 'model_epoch_last.pth')
    assert weights_fingerprint(detector.state_dict()) == weights_fingerprint(trained['model'])
    assert config['calibration']['threshold'] == trained['calibration']['threshold'] and config['fine']
    card = (field.parent / 'released' / 'fine_npr.md').read_text()
    assert (out / 'leave_one_out.md').read_text() in card and '** 56 images: bare 14, lender 14, one 28' in card
    assert str(field.parent) not in card and '78,369 parameters' in card
    digest = hashlib.sha256((field.parent / 'released' / 'fine_npr.pth').read_bytes()).hexdigest()
    assert (field.parent / 'released' / 'SHA256SUMS').read_text() == f'{digest}  fine_npr.pth\n'
    capsys.readouterr()
    main(asked(field, *words, *training))
    assert capsys.readouterr().out.count('done before') == 11
    with pytest.raises(UserError, match=r'holds another experiment(.|\n)*training: '):
        main(asked(field, *words, '--', '--cropSize', 40))
    for flag, value in (('--copy', 0.75), ('--false_alarm_rate', 0.6)):
        with pytest.raises(UserError, match=f'holds another experiment(.|\n)*{flag[2:]}: .* before, {value} now'):
            main(asked(field, *words, flag, value, *training))
    image = next((field / 'one' / '1_fake').iterdir())
    Image.open(image).rotate(90).save(image)
    with pytest.raises(UserError, match=r'holds another experiment(.|\n)*images: '):  # of the same names and number
        main(asked(field, *words, *training))


def test_made_fakes_are_seen_by_every_training(field, made):
    shutil.rmtree(field / 'two')
    words = ['--reals', 'lender', '--niter', 1, '--false_alarm_rate', 0.5, '--side_by_side', 2, '--more', *made]
    main(asked(field, *words, '--', '--cropSize', 32, '--batch_size', 8, '--num_threads', 0))
    out = field.parent / 'out'
    kinds = {'trained_nearest', 'trained_shuffle', 'random_nearest'}
    for left_out, others in (('one', {'bare', 'lender'}), ('bare', {'one'}), ('all', {'bare', 'one', 'lender'})):
        assert {path.name for path in (out / 'data' / left_out / 'train').iterdir()} == others | kinds
        options = read_json(out / 'checkpoints' / f'{left_out}_seed_0' / 'opt.json')['options']
        assert options['patch_loss'] and options['dataroot'] == str(out / 'data' / left_out)
    found = read_json(out / 'leave_one_out.json')
    assert found['validation_reals'] == 5  # two of one, two of lender, one piece of the last photograph
    assert found['asked']['trained_on']['trained_shuffle'] == found['asked']['trained_on']['random_nearest'] == 14
    release_field.main(release_field.get_parser().parse_args([str(out), '--out', str(field.parent / 'released')]))
    (out / 'checkpoints' / 'all_seed_0' / 'opt.json').unlink()
    with pytest.raises(UserError, match='all_seed_0: no training there'):
        release_field.release(out, field.parent / 'released')
    assert '5 of the reals are different files' in (field.parent / 'released' / 'fine_npr.md').read_text().replace(
        '\n', ' '
    )


def test_what_every_training_would_refuse_is_refused_before_anything_is_made(field):
    (field / 'one').rename(field / 'all')
    with pytest.raises(UserError, match='a source is called all'):
        main(asked(field, '--reals', 'lender'))
    (field / 'all').rename(field / 'one')
    attention = ['--reals', 'lender', '--', '--model_type', 'multiscale_attention']
    with pytest.raises(UserError, match='--patch_loss is for single_scale'):
        main(asked(field, *attention))
    for own in ('--seed', '--name=boo', '--loadSize', '--val_split'):
        with pytest.raises(UserError, match=f'after --: {own.partition("=")[0]} is for this program'):
            main(asked(field, '--reals', 'lender', '--', own, '7'))
    with pytest.raises(SystemExit):
        asked(field, '--seeds', '0,0')
    assert not (field.parent / 'out').exists()
    with pytest.raises(UserError, match=r'--gpus 99: .* found'):
        main(asked(field, '--reals', 'lender', '--false_alarm_rate', 0.5, '--gpus', '99'))
    with pytest.raises(
        UserError, match=r'without bare there are 4 real images for validation .* --false_alarm_rate 0\.05'
    ):
        main(asked(field, '--dry_run', '--reals', 'lender'))
    main(
        asked(field, '--dry_run', '--false_alarm_rate', 0.5, *attention, '--no-patch_loss')
    )  # flags of training override the recipe's


def test_names_of_conditions_are_those_of_perturbations():
    assert [str(each) for name in list(ALL_CONDITIONS)[1:] for each in parse(name)] == list(ALL_CONDITIONS)[1:]
