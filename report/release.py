"""Publish detectors of an experiment: python -m report.release FOLDER --out checkpoints/pretrained

Takes, of every design, the seed with the highest validation AP (never a test result; the first of several equal ones),
and writes its weights without the optimiser (NAME.pth), a model card (NAME.md) and SHA256SUMS: the baseline as
single_scale, the multi-scale detector as multiscale_attention, the others below ablations/ under their own names.
"""

import hashlib
from pathlib import Path
from textwrap import fill

from analysis.summary import is_control, markdown_table
from analysis.words import count, percent, shown
from networks import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
from options.base_options import StrictParser
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from report.evidence import load, validation_ap
from report.setup import data, scoring, training, training_decoders
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_text

CARD = """# {title}

`{name}.pth`: {options}; {parameters:,} parameters. Made by `python -m report.release`; the numbers are
those of the experiment in `{folder}`.

    from networks import load_detector        # from the repository's root
    detector, config = load_detector('{path}')
    logits = detector(images)                 # (N, 3, H, W), ImageNet-normalised -> (N, 1)
    fake = logits > {threshold}

**For** studying the method and repeating its numbers. **Not for** deciding whether an image from the wild is generated:
{not_for}

{trained}

{chosen}

{table}
{note}

Seed {seed}, commit {commit}, PyTorch {torch}, {precision}. Fingerprint of the weights `{fingerprint}` (the score files'
`metrics.json` has it too). Licence: Apache-2.0, as the repository.
"""
TITLES = {BASELINE: 'NPR baseline', PROPOSED: 'Multi-scale attention NPR'}
NOTE = (
    'Percentages of this seed{at}; the mean over seeds is in the report.\n'
    '*Control*: no up-sampling, should be called real.'
)


def get_parser():
    parser = StrictParser(prog='python -m report.release', description=__doc__.split('\n\n')[1])
    parser.add_argument('folder', help='what run_multiscale_experiments.sh left in its --out, with checkpoints')
    parser.add_argument('--out', required=True, help='folder for weights, cards and SHA256SUMS')
    return parser


def release(evidence, design, out):
    """Write one detector and its card; returns the path of the weights."""
    tests = {Path(test['model_path']).parent.name: test for test in evidence.tests[design.name]}
    runs = {seed: evidence.folder / 'checkpoints' / design.name / seed for seed in tests}
    last = {seed: test['model_path'].endswith('last.pth') for seed, test in tests.items()}
    values = {seed: validation_ap(runs[seed], last[seed]) for seed in tests}
    if not values or None in values.values():
        raise UserError(f'{evidence.folder}: no tests of {design.name}, or trainings without a log of validation AP')
    seed = max(values, key=values.get)
    checkpoint = load_checkpoint(runs[seed] / Path(tests[seed]['model_path']).name)
    fingerprint = weights_fingerprint(checkpoint['model'])
    if fingerprint != tests[seed]['weights']:
        raise UserError(f'{runs[seed]}: its weights are not those that were tested; test them again first')
    headline = design in (BASELINE, PROPOSED)
    name, options = design.model_type if headline else design.name, read_json(runs[seed] / 'opt.json')
    path = make_folder(out if headline else out / 'ablations') / f'{name}.pth'
    extras = {key: checkpoint[key] for key in ('calibration', 'pixels') if checkpoint.get(key)}
    save_checkpoint(path, checkpoint['config'], checkpoint['model'], **extras)
    at, threshold = '', '0'
    if frozen := extras.get('calibration'):
        at = f', accuracies at the threshold frozen on validation (logit > {frozen["threshold"]:.2f})'
        threshold = "config['calibration']['threshold']"
    facts = {
        'title': TITLES.get(design, f'NPR {design.role}: {shown(design.name)}'),
        'name': name,
        'path': path.as_posix(),
        'threshold': threshold,
        'options': in_words(checkpoint['config']),
        'parameters': options['parameters'],
        'folder': evidence.folder.as_posix(),
        'not_for': not_for(evidence),
        'trained': fill(f'**Trained on.** {" ".join(data(evidence))} {training(evidence)}', 118),
        'chosen': fill(
            f'**Chosen** among {count(len(values), "seed")} by the validation AP ({percent(values[seed])} %, '
            f'{shown(seed)}); test images had no part in it. {scoring(evidence)}',
            118,
        ),
        'seed': seed.removeprefix('seed_'),
        'table': generators_table(tests[seed]['generators']),
        'commit': options['machine']['commit'],
        'torch': options['machine']['torch'],
        'precision': options['precision'],
        'fingerprint': fingerprint,
    }
    write_text(path.with_suffix('.md'), CARD.format(**facts, note=NOTE.format(at=at)))
    return path


def not_for(evidence):
    """Why a detector is not for deciding about images."""
    if not evidence.edition:
        return 'it was trained on one generator, and its threshold is not calibrated.'
    kinds = len(training_decoders(evidence))
    kinds = 'one kind' if kinds == 1 else f'{kinds} kinds'
    return f'its training set holds {kinds} of decoder, made for this project, and no generator in use was tested.'


def in_words(config):
    """'scales 0.25, 0.5; fine; fusion evidence': what a config says beside the kind of detector."""
    scales = 'scales ' + ', '.join(f'{scale:g}' for scale in config['npr_scales'])
    options = {key: value for key, value in config.items() if key not in ('model_type', 'npr_scales') and value}
    return '; '.join([scales, *(key if value is True else f'{key} {value}' for key, value in options.items())])


def generators_table(generators):
    rows = [
        [
            shown(entry['generator']) + (' (control)' if is_control(entry['table']) else ''),
            *map(percent, (entry['ap'], *accuracies(entry))),
        ]
        for entry in generators
    ]
    return markdown_table(['Generator', 'AP', 'Reals called real', 'Fakes called fake'], rows)


def accuracies(entry):
    """(share of reals called real, of fakes called fake) of a generator, at the frozen threshold if there is one."""
    if entry.get('frozen_accuracy') is None:
        return entry['real_accuracy'], entry['fake_accuracy']
    reals, fakes, real_accuracy = entry['real_images'], entry['fake_images'], 1 - entry['frozen_false_alarms']
    return real_accuracy, (entry['frozen_accuracy'] * (reals + fakes) - real_accuracy * reals) / fakes


def write_sums(folder):
    """SHA256SUMS of all weights in a folder and below it."""
    paths = sorted(folder.rglob('*.pth'))
    write_text(
        folder / 'SHA256SUMS',
        ''.join(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n' for path in paths),
    )


def main(args):
    evidence, out = load(args.folder), make_folder(args.out)
    designs = [design for design in DESIGNS if evidence.tests.get(design.name)]
    paths = [release(evidence, design, out) for design in designs]
    write_sums(out)
    print(f'written to {out}: {", ".join(path.name for path in paths)}, their cards and SHA256SUMS')


if __name__ == '__main__':
    with friendly_errors('report.release', CheckpointError):
        main(get_parser().parse_args())
