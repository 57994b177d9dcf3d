"""Hand over the detector of leave_one_out.py: python -m report.release_field OUT --out checkpoints/pretrained

Writes the weights that were trained on everything with their frozen threshold (fine_npr.pth, or fine_npr_copy.pth if
images are compared with copies), a model card with the table of generators left out (.md), and SHA256SUMS.
"""

from pathlib import Path
from textwrap import fill

from analysis.leave_one_out import detector_file, table
from analysis.words import shown
from networks import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
from options.base_options import StrictParser
from report.release import write_sums
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_text

NAME = 'fine_npr'
CARD = """# NPR at full resolution, for use

{made}

    python detect.py --model_path checkpoints/pretrained/{name}.pth photo.png

or in Python, from the repository's root:

    import torch
    detector = torch.hub.load('.', '{name}', source='local')
    detector.score('photo.png')     # probability of fake, not calibrated
    detector.fake('photo.png')      # above the frozen threshold?
    detector.false_alarms('photo.png')      # at most this share of real validation images scores as high

**For** a first look at images of generators it was not made for, on native pixels: the centre {crop} x {crop} of an
image, on which the threshold was frozen (`detect.py --no_crop`: all of it). **Not for** deciding about anybody's
image: the table says how often that fails. **Not for** resized images, which were not part of its training: they rank
worse, and real ones that were enlarged are called fake (docs/experiments.md, E28).

{trained}

Options of each training: `{flags}`.

{threshold}

**What to expect of a generator that is not among them:** the same training without one of them (and without the reals
it is compared with), scored on that one. The choice of this training used all of these generators, so the table
flatters it.

{table}
The weights are of seed {seed} (commit {commit}, PyTorch {torch}, {precision}; fingerprint `{fingerprint}`), the table
of {measured}. Licence: Apache-2.0, as the repository.
"""
COPY = (
    'The verdict on an image is read against that on a copy of it with sides of {copy:g} of its own, by the same '
    'weights: `join_copy.py` fitted {weights} on the validation images below. What that gains on diffusion models, and '
    "costs on StyleGAN2's faces and on real images saved at JPEG 75, is told in docs/experiments.md (E31), what on "
    'resized images as well (E33).'
)
MADE = '`{name}.pth`: residual at {scales}, {parameters:,} parameters. Made by {by} and report/release_field.py.'
BY = '`leave_one_out.py`', '`join_copy.py`, `test.py` and `calibrate.py` from the detector without a copy'
PAIRS = 'Pairs of a fake and a real image, every source of fakes equally often.'
THRESHOLD = (
    '**Threshold** frozen on {real_images} real and {fake_images} fake validation images of the same origins: at most '
    '{false_alarm_rate:.0%} of the reals lie above it. Beside each made fake stands a piece of its photograph: '
    '{different} of the reals are different files.'
)


def get_parser():
    parser = StrictParser(prog='python -m report.release_field', description=__doc__.split('\n\n')[1])
    parser.add_argument('folder', help='the --out of leave_one_out.py')
    parser.add_argument('--out', required=True, help='folder for weights, card and SHA256SUMS')
    return parser


def release(folder, out):
    """Write weights and card of the first seed; returns the path of the weights.

    Raises:
        UserError: the experiment is not finished, or its trainings are gone.
    """
    found = read_json(folder / 'leave_one_out.json')
    if 'alone' not in found:
        raise UserError(f'{folder}: leave_one_out.py has not finished there')
    seed = found['seeds'][0]
    run = folder / 'checkpoints' / f'all_seed_{seed}'
    if not (run / 'opt.json').is_file():
        raise UserError(f'{run}: no training there')
    checkpoint = load_checkpoint(detector_file(run, found['asked'].get('copy')))
    options = read_json(run / 'opt.json')
    calibration = {key: value for key, value in checkpoint['calibration'].items() if key != 'scores'}
    copy = checkpoint['config'].get('copy')
    name = f'{NAME}_copy' if copy else NAME
    path = out / f'{name}.pth'
    save_checkpoint(
        path, checkpoint['config'], checkpoint['model'], calibration=calibration, pixels=checkpoint['pixels']
    )
    pairs = PAIRS if options['options']['pairs'] else ''
    if copy:
        own, other = checkpoint['model']['join.weight'][0].tolist()
        formula = f'{own:.2f} x image {other:+.2f} x copy {float(checkpoint["model"]["join.bias"]):+.2f}'
        pairs = f'{pairs} {COPY.format(copy=copy, weights=formula)}'
    scales = ', '.join(f'{scale:g}' for scale in dict.fromkeys(checkpoint['config']['npr_scales']))
    total = sum(found['asked']['trained_on'].values())
    sources = ', '.join(f'{shown(name)} {number}' for name, number in found['asked']['trained_on'].items())
    write_text(
        out / f'{name}.md',
        CARD.format(
            name=name,
            made=fill(MADE.format(name=name, scales=scales, parameters=options['parameters'], by=BY[bool(copy)]), 118),
            trained=fill(f'**Trained on** {total} images: {sources}. {pairs}'.strip(), 118),
            crop=calibration['pixels']['crop_size'],
            flags=f'{" ".join(found["asked"]["training"])} --niter {found["asked"]["niter"]}',
            threshold=fill(THRESHOLD.format(**calibration, different=found['validation_reals']), 118),
            table=table(found),
            seed=options['options']['seed'],
            measured=f'seed{"s" * (len(found["seeds"]) > 1)} {", ".join(map(str, found["seeds"]))}',
            commit=options['machine']['commit'],
            torch=options['machine']['torch'],
            precision=options['precision'],
            fingerprint=weights_fingerprint(checkpoint['model']),
        ),
    )
    return path


def main(args):
    out = make_folder(args.out)
    path = release(Path(args.folder), out)
    write_sums(out)
    print(f'written: {path}, its card and {out}/SHA256SUMS')


if __name__ == '__main__':
    with friendly_errors('report.release_field', CheckpointError):
        main(get_parser().parse_args())
