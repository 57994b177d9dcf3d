"""Scores for any images: python detect.py --model_path CHECKPOINT IMAGE_OR_FOLDER ... [--output FILE.csv]

The score is the probability that the image is fake, as the detector sees it; it is not calibrated. A checkpoint that
carries a threshold (calibrate.py) adds a verdict, fake above it, and says how rare such a score was among the real
images of its validation.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit

from analysis.scores import score_frame
from data.images import IMAGE_SUFFIXES, is_image
from data.listing import walk
from data.samples import Sample, Samples
from data.transforms import ScoreTransform, wanted_pixels
from networks import CheckpointError
from networks.verdict import false_alarms, threshold
from options.base_options import StrictParser, add_detector, add_machine, add_pixels, pixel_sizes, positive
from session import Scorer
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_csv

UNKNOWN = -1  # the label of an image that nobody labelled


def get_parser():
    parser = StrictParser(prog='detect.py', description=__doc__)
    parser.add_argument('images', nargs='+', help='image files, or folders that are searched at any depth')
    parser.add_argument('--model_path', required=True, help='checkpoint; it knows its detector and scales')
    parser.add_argument('--output', metavar='FILE.csv', help='also write the scores to a file')
    parser.add_argument('--batch_size', type=positive, default=32, help='images scored at once')
    add_detector(parser, required=False)
    add_pixels(parser, modes=True)
    add_machine(parser)
    return parser


def find_images(places):
    paths = []
    for place in map(Path, places):
        if place.is_dir():
            found = [parent / name for parent, _, files in walk(place) for name in files if is_image(name)]
            if not found:
                raise UserError(f'{place}: no images in it or below (readable: {" ".join(IMAGE_SUFFIXES)})')
            paths += sorted(found)
        elif place.is_file():
            paths.append(place)
        else:
            raise UserError(f'{place}: no such file or folder')
    return paths


def small_ones(paths, side):
    """How many of these images, which could be read before, have a side below `side` pixels."""
    count = 0
    for path in paths:
        with Image.open(path) as image:
            count += min(image.size) < side
    return count


def main(opt):
    machine.only_one_process('detect.py')
    scorer = Scorer(opt, opt.model_path, machine.start(opt.gpu_ids, opt.precision), opt.npr_scales)
    if 'assumed' in scorer.config:
        print(scorer.config['assumed'])
    if opt.output:
        if Path(opt.output).is_dir():
            raise UserError(f'--output {opt.output}: a folder; give a file in it, {Path(opt.output) / "scores.csv"}')
        make_folder(Path(opt.output).parent)
    samples = Samples.of(Sample(path, UNKNOWN) for path in find_images(opt.images))
    pixels = ScoreTransform(*pixel_sizes(opt, wanted_pixels(scorer.config)))
    print(f'pixels: {pixels.describe()}')
    indices, logits, weights = scorer.scores(samples, pixels)
    if not len(indices):
        raise UserError(f'not one image could be read\n{scorer.bad_images.summary()}')
    rows = [('', '', UNKNOWN, samples[i].path.as_posix()) for i in indices]
    frame = score_frame(rows, logits, weights, scorer.scales).drop(columns=['table', 'generator', 'label'])
    if scorer.config.get('calibration'):
        frozen = threshold(scorer.config)
        frame['verdict'] = np.where(frame['logit'] > frozen, 'fake', 'real')
        print(f'verdict: fake above a score of {expit(frozen):.4f}, frozen on validation images')
        if (rates := false_alarms(frame['logit'], scorer.config)) is not None:
            frame['false_alarms'] = rates
            print(
                'false_alarms: at most this share of the real validation images scores as high; 1: below all thresholds'
            )
    crop = pixels.crop_size
    if crop and not pixels.load_size and (count := small_ones((samples[i].path for i in indices), crop)):
        print(f'{count} of {len(frame)} images have a side below {crop} pixels: scored on fewer pixels than a crop has')
    if opt.output:
        write_csv(opt.output, frame, float_format='%.9g')
    with pd.option_context('display.max_colwidth', None, 'display.width', None, 'display.max_rows', None):
        shown = {'false_alarms': '{:g}'.format} if 'false_alarms' in frame else None
        print(frame.to_string(index=False, float_format='{:.4f}'.format, formatters=shown))
    if scorer.bad_images.summary():
        print(scorer.bad_images.summary())


if __name__ == '__main__':
    with friendly_errors('detect.py', CheckpointError):
        main(get_parser().parse_args())
