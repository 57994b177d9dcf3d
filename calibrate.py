"""Fit a threshold and a temperature on validation scores: python calibrate.py --model_path CHECKPOINT --scores FILE

FILE is the scores.csv that test.py wrote for validation images, never for those that a result is reported on.
The checkpoint then carries both values, and test.py reports with them beside the plain threshold of 0.5. A picture,
reliability.png, is left beside FILE. Controls and the sweep of UpsampleBench are no validation images and do not count.
"""

from pathlib import Path

from scipy.special import expit

from analysis.calibration import fit_temperature, frozen_thresholds, reliability_figure, threshold_at
from analysis.metrics import calibration_error
from analysis.scores import read_scores
from analysis.summary import rows_inside_mean
from networks import CheckpointError, load_checkpoint, load_detector, save_checkpoint, weights_fingerprint
from options.base_options import StrictParser, bounded
from util.errors import UserError, friendly_errors
from util.files import read_json


def get_parser():
    parser = StrictParser(prog='calibrate.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_path', required=True, help='checkpoint that gets the values; its weights stay')
    parser.add_argument('--scores', required=True, metavar='FILE', help='scores.csv of validation images')
    parser.add_argument(
        '--false_alarm_rate',
        type=bounded(float, 0, 1, low_excluded=True),
        default=0.05,
        help='share of the real images that may be called fake at the threshold',
    )
    return parser


def scored_pixels(path, content, scores):
    """What the scores were made of: {'load_size', 'crop_size'}.

    Raises:
        UserError: they are not of this very detector, or tables differ.
    """
    facts = Path(scores).with_name('metrics.json')
    if not facts.is_file():
        raise UserError(f'{scores}: no metrics.json of test.py beside it, so nobody knows which detector scored')
    facts = read_json(facts)
    if facts.get('weights') != weights_fingerprint(content['model']):
        raise UserError(
            f'{scores}: these scores are not of {path} (its weights differ from those test.py used); '
            'run test.py with this checkpoint on the validation images first'
        )
    if 'by_table' in facts['pixels']:
        raise UserError(f'{scores}: tables were scored on different pixels, of which a threshold cannot hold; give one')
    return {key: facts['pixels'][key] for key in ('load_size', 'crop_size')}


def main(opt):
    content, frame = load_checkpoint(opt.model_path), read_scores(opt.scores)
    if content['config'] is None:
        raise UserError(f'{opt.model_path}: a bare state dict cannot carry a calibration; give one that train.py wrote')
    load_detector(opt.model_path)  # names the fault of a broken checkpoint
    pixels = scored_pixels(opt.model_path, content, opt.scores)
    inside = rows_inside_mean(frame)
    if not inside.any():
        raise UserError(
            f'{opt.scores}: all images are of controls or of the sweep over factors, which do not count here'
        )
    if not inside.all():
        print(f'{(~inside).sum()} images of controls or of the sweep over factors do not count')
    frame = frame[inside].drop_duplicates('path')  # lent reals count once
    labels, logits = frame['label'].to_numpy(), frame['logit'].to_numpy()
    temperature = fit_temperature(labels, logits)
    threshold, rate, interval = threshold_at(labels, logits, opt.false_alarm_rate)
    content['calibration'] = {
        'temperature': temperature,
        'threshold': threshold,
        'false_alarm_rate': opt.false_alarm_rate,
        'thresholds': frozen_thresholds(labels, logits, opt.false_alarm_rate),
        'real_images': int((labels == 0).sum()),
        'fake_images': int((labels == 1).sum()),
        'pixels': pixels,
        'scores': opt.scores,
    }
    figure = Path(opt.scores).with_name('reliability.png')
    save_checkpoint(opt.model_path, **content)
    reliability_figure(labels, logits, temperature or 1.0, figure)
    if temperature is None:
        perfect = ((logits > 0) == (labels == 1)).all()
        why = 'a threshold at 0 separates these images perfectly' if perfect else 'scores are worse than 0.5 for all'
        print(f'temperature: none fits, because {why}')
    else:
        errors = [100 * calibration_error(labels, expit(logits / value)) for value in (1.0, temperature)]
        print(f'temperature {temperature:.3f}: calibration error {errors[0]:.1f}% -> {errors[1]:.1f}% on these images')
    print(
        f'threshold: logit > {threshold:.4f}; false alarms {100 * rate:.1f}% here '
        f'(95% interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}%)'
    )
    print(f'written: {opt.model_path} (test.py now reports with both), {figure}')


if __name__ == '__main__':
    with friendly_errors('calibrate.py', CheckpointError):
        main(get_parser().parse_args())
