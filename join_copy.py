"""Read an image's verdict against its copy's: python join_copy.py --model_path CHECKPOINT --dataroot VAL --out FILE

What an image's content alone makes a detector say, it says of a smaller copy as well. This scores validation images and
their copies with the same weights, fits one logit of both (logistic regression), and writes a detector that gives it.
Nothing is trained. It takes twice the time, less what a copy is smaller. The threshold of the detector it comes
from does not hold any more: run test.py and calibrate.py with the new one.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from analysis.copies import fit_join
from data.collection import collect, describe
from networks import CheckpointError, load_checkpoint, save_checkpoint
from options.base_options import StrictParser, add_machine, add_pixels, fraction, positive
from session import Scorer, describe_pixels, transforms
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder


def get_parser():
    parser = StrictParser(prog='join_copy.py', description=__doc__.split('\n\n')[1])
    parser.add_argument(
        '--model_path', required=True, help='checkpoint of a single_scale detector, which stays as it is'
    )
    parser.add_argument('--dataroot', required=True, help='validation images, as for test.py; never those of a test')
    parser.add_argument('--out', required=True, metavar='FILE.pth', help='the new detector')
    parser.add_argument('--copy', type=fraction, default=0.75, help="sides of the copy over the image's")
    parser.add_argument('--batch_size', type=positive, default=32, help='images scored at once')
    add_pixels(parser, modes=True)
    add_machine(parser, compiles=False)
    parser.set_defaults(model_type=None, npr_scales=None, compile=False)
    return parser


def with_copy(content, scale, weights):
    """(config, state dict) of a checkpoint's detector with a copy; weights: of own and copy, and the bias."""
    join = torch.tensor(weights[:2])[None], torch.tensor(weights[2:])
    model = {**content['model'], 'join.weight': join[0], 'join.bias': join[1]}
    return {**content['config'], 'copy': scale}, model


def main(opt):
    machine.only_one_process('join_copy.py')
    content, place = load_checkpoint(opt.model_path), machine.start(opt.gpu_ids, opt.precision)
    config = content['config']
    if not config or config['model_type'] != 'single_scale' or config.get('copy'):
        raise UserError(f'{opt.model_path}: expected a single_scale detector that train.py wrote, without a copy yet')
    out, dataroot = Path(opt.out), Path(opt.dataroot)
    if out.is_dir() or out.resolve() == Path(opt.model_path).resolve():
        what = 'a folder; give a file in it' if out.is_dir() else 'the detector it is made of, which stays as it is'
        raise UserError(f'--out {out}: {what}')
    make_folder(out.parent)
    found = collect(dataroot)
    if len(np.unique(found.samples.labels)) < 2:
        raise UserError(f'{dataroot}: joining takes real and fake validation images')
    pixels = transforms(
        opt, {**config, **{key: content.get(key) or {} for key in ('pixels', 'calibration')}}, found.tables
    )
    print('\n'.join([*describe(dataroot, found), *describe_pixels(pixels)]))
    with TemporaryDirectory() as folder:
        alone = Path(folder) / 'copy.pth'
        save_checkpoint(alone, *with_copy(content, opt.copy, (0.0, 1.0, 0.0)), pixels=content.get('pixels'))
        logits = []
        for path, what in ((opt.model_path, 'images'), (alone, f'copies at {opt.copy:g}')):
            scorer = Scorer(opt, path, place)
            indices, scores, _ = scorer.run(found.with_pixels(pixels), None, description=what)
            logits.append(np.asarray(scores))
    if scorer.bad_images.summary():
        print(scorer.bad_images.summary())
    rows = [found.rows[index] for index in indices]
    weights = fit_join(*logits, [row[2] for row in rows], ['/'.join(row[:2]) for row in rows])
    sizes = {(transform.load_size, transform.crop_size) for transform in pixels.values()}
    joined_on = dict(zip(('load_size', 'crop_size'), *sizes, strict=True)) if len(sizes) == 1 else None
    model = with_copy(content, opt.copy, weights)
    save_checkpoint(out, *model, pixels=content.get('pixels'), joined_on=joined_on)
    print(f'logit = {weights[0]:.3f} x image {weights[1]:+.3f} x copy {weights[2]:+.3f}, fitted on {len(rows)} images')
    print(f'written: {out} (its threshold: test.py, then calibrate.py)')


if __name__ == '__main__':
    with friendly_errors('join_copy.py', CheckpointError):
        main(get_parser().parse_args())
