"""What frozen thresholds are worth elsewhere: python -m analysis.elsewhere FOLDER

FOLDER is what robustness.py wrote of detectors that differ in their seeds, with --perturbations jpeg, for generators
that had no part in their training (generators.elsewhere). Writes elsewhere.md and .json into it: AUC of every
generator, and accuracies at the thresholds that calibrate.py froze in the checkpoints.
"""

from pathlib import Path

from analysis.leave_one_out import CONDITIONS, gathered, measure, table_of_generators
from analysis.scores import read_scores
from networks import CheckpointError, load_checkpoint, weights_fingerprint
from options.base_options import StrictParser
from util.errors import UserError, friendly_errors
from util.files import read_json, write_json, write_text


def get_parser():
    parser = StrictParser(prog='python -m analysis.elsewhere', description=__doc__.split('\n\n')[1])
    parser.add_argument('folder', help='the --out of robustness.py --perturbations jpeg')
    return parser


def summarise(folder):
    """As analysis.leave_one_out.summarise, of a folder of robustness.py; 'seeds' are the names of its detectors.

    Raises:
        UserError: another folder, a detector without a frozen threshold or with other weights, detectors of several
            kinds, perturbations without JPEG, or a generator without images of both classes.
    """
    record = folder / 'robustness.json'
    if not record.is_file():
        raise UserError(f'{folder}: no robustness.json in it; run robustness.py --perturbations jpeg --out {folder}')
    detectors = read_json(record)['detectors']
    images, lines, configs = {}, {condition: {} for condition in CONDITIONS}, {}
    for name, facts in detectors.items():
        checkpoint = load_checkpoint(facts['model_path'])
        if weights_fingerprint(checkpoint['model']) != facts['weights']:
            raise UserError(f'{facts["model_path"]}: trained anew since robustness.py scored with it; run that again')
        if not (calibration := checkpoint.get('calibration')):
            raise UserError(f'{facts["model_path"]}: no threshold in it; calibrate.py freezes one')
        configs[name] = {**checkpoint['config'], 'false_alarm_rate': calibration.get('false_alarm_rate')}
        first = configs[next(iter(configs))]
        if differ := [key for key in {**first, **configs[name]} if configs[name].get(key) != first.get(key)]:
            raise UserError(
                f'{name} and {next(iter(configs))} differ in {", ".join(differ)}, so their mean says nothing; score '
                'detectors that differ in their seeds into a folder of their own'
            )
        for condition in CONDITIONS:
            path = folder / name / condition / 'scores.csv'
            if not path.is_file():
                raise UserError(f'{path}: no such scores; run robustness.py with --perturbations jpeg')
            frame = read_scores(path)
            if twice := repeated_names(frame):
                raise UserError(f'{path}: several tables have a generator called {", ".join(twice)}; rename a folder')
            for generator, part in frame.groupby('generator'):
                if part['label'].nunique() < 2:
                    raise UserError(f'{path}: {generator} has one class only; run robustness.py with --reals DIR')
                lines[condition].setdefault(generator, []).append(measure(part, calibration['threshold']))
                images[generator] = [int((part['label'] == label).sum()) for label in (0, 1)]
    return {'seeds': list(detectors), 'images': images, **gathered(lines)}


def repeated_names(frame):
    """Names of generators that scores of more than one table have."""
    tables = frame.groupby('generator')['table'].nunique()
    return sorted(tables.index[tables > 1])


def main(args):
    folder = Path(args.folder)
    found = summarise(folder)
    note = 'accuracies at the thresholds that were frozen on validation images of the generators of the training.'
    text = table_of_generators(found, 'Generator', note)
    write_json(folder / 'elsewhere.json', found)
    write_text(folder / 'elsewhere.md', text)
    print(f'{text}\nwritten to {folder}: elsewhere.md, elsewhere.json')


if __name__ == '__main__':
    with friendly_errors('analysis.elsewhere', CheckpointError):
        main(get_parser().parse_args())
