"""Publish detectors of an experiment: python -m report.release FOLDER --out checkpoints/pretrained

Takes, of the baseline and of the multi-scale detector, the seed with the highest validation AP (never a test result),
and writes its weights without the optimiser (NAME.pth), a model card (NAME.md) and SHA256SUMS.
"""

import hashlib
from pathlib import Path
from textwrap import fill

from analysis.summary import is_control, markdown_table
from analysis.words import count, percent, shown
from networks import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
from options.base_options import StrictParser
from pipeline.plan import BASELINE, PROPOSED
from report.evidence import load, validation_ap
from report.setup import data, scoring, training
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_text

CARD = """# {title}

`{name}.pth`: scales {scales}; {parameters:,} parameters. Made by `python -m report.release`; the numbers are
those of the experiment in `{folder}`.

    from networks import load_detector
    detector, config = load_detector('{name}.pth')
    logits = detector(images)        # (N, 3, H, W), ImageNet-normalised -> (N, 1); > 0 = fake, not calibrated

**For** studying the method and repeating its numbers. **Not for** deciding whether an image from the wild is generated:
{not_for}

{trained}

{chosen}

{table}
{note}

Seed {seed}, commit {commit}, PyTorch {torch}, {precision}. Fingerprint of the weights `{fingerprint}` (the score files'
`metrics.json` has it too). Licence: Apache-2.0, as the repository.
"""
NARROW = 'its training set holds one kind of decoder, made for this project, and no generator in use was tested.'
NOTE = (
    'Percentages of this seed; the mean over seeds is in the report. *Control*: no up-sampling, should be called real.'
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
    name, options = design.model_type, read_json(runs[seed] / 'opt.json')
    path = out / f'{name}.pth'
    extras = {key: checkpoint[key] for key in ('calibration', 'pixels') if checkpoint.get(key)}
    save_checkpoint(path, checkpoint['config'], checkpoint['model'], **extras)
    facts = {
        'title': {BASELINE: 'NPR baseline', PROPOSED: 'Multi-scale attention NPR'}[design],
        'name': name,
        'scales': ', '.join(f'{scale:g}' for scale in design.scales),
        'parameters': options['parameters'],
        'folder': evidence.folder.as_posix(),
        'not_for': NARROW
        if evidence.edition
        else 'it was trained on one generator, and its threshold is not calibrated.',
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
    write_text(out / f'{name}.md', CARD.format(**facts, note=NOTE))
    return path


def generators_table(generators):
    rows = [
        [
            shown(entry['generator']) + (' (control)' if is_control(entry['table']) else ''),
            *(percent(entry[key]) for key in ('ap', 'real_accuracy', 'fake_accuracy')),
        ]
        for entry in generators
    ]
    return markdown_table(['Generator', 'AP', 'Reals called real', 'Fakes called fake'], rows)


def write_sums(folder):
    """SHA256SUMS of all weights in a folder."""
    paths = sorted(folder.glob('*.pth'))
    write_text(
        folder / 'SHA256SUMS',
        ''.join(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n' for path in paths),
    )


def main(args):
    evidence, out = load(args.folder), make_folder(args.out)
    paths = [release(evidence, design, out) for design in (BASELINE, PROPOSED)]
    write_sums(out)
    print(f'written to {out}: {", ".join(path.name for path in paths)}, their cards and SHA256SUMS')


if __name__ == '__main__':
    with friendly_errors('report.release', CheckpointError):
        main(get_parser().parse_args())
