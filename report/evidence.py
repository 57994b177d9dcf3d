"""What the pipeline left in a folder, read once. A missing part is None, and the report says that it was not run."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from analysis.summary import is_control
from data.tables import TABLES
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from util.errors import UserError
from util.files import read_json


@dataclass(frozen=True)
class Evidence:
    """Result files of one experiment; everything the report says comes from here.

    comparison, attention, faithfulness, disagreements, against_controls, edition: the JSON files, or None;
        against_controls compares the baseline and the controls with the multi-scale detector.
    commands: what the user typed, each once.
    training: {design: [opt.json of each seed]}; tests: {design: [metrics.json of each seed]}.
    validation: {design: [highest validation AP of each seed]}.
    """

    folder: Path
    comparison: dict
    attention: dict | None
    faithfulness: dict | None
    disagreements: dict | None
    against_controls: dict | None
    edition: dict | None
    commands: list = field(default_factory=list)
    training: dict = field(default_factory=dict)
    tests: dict = field(default_factory=dict)
    validation: dict = field(default_factory=dict)

    @property
    def names(self):
        """Detectors that were compared, in the order of the plan, with the baseline first."""
        known = [design.name for design in DESIGNS if design.name in self.comparison['detectors']]
        return known + [name for name in self.comparison['detectors'] if name not in known]

    @property
    def seeds(self):
        """{detector: number of seeds}"""
        return {name: self.comparison['detectors'][name]['seeds'] for name in self.names}

    @property
    def result(self):
        """Tests and intervals, or None if no generator could be counted."""
        return self.comparison['comparison']

    def summary(self, name):
        return self.comparison['detectors'][name]

    def generators(self, name):
        """Metrics of each generator that is no control."""
        return [entry for entry in self.summary(name)['generators'] if not is_control(entry['table'])]

    def controls(self, name):
        return [entry for entry in self.summary(name)['generators'] if is_control(entry['table'])]

    def test(self, name, metric, family=None):
        """The test of one detector against the baseline, or None."""
        for test in (self.result or {'tests': ()})['tests']:
            if (test['detector'], test['metric'], test['family']) == (name, metric, family):
                return test
        return None

    @property
    def public(self):
        """[(BenchmarkTable, [names of its generators that were scored])] of the five public tables."""
        scored = {(entry['table'], entry['generator']) for entry in self.generators(self.names[0])}
        return [(table, [g.name for g in table.generators if (table.name, g.name) in scored]) for table in TABLES]

    @property
    def several_seeds(self):
        return min(self.seeds.values()) > 1


def load(folder):
    """Read a folder of the pipeline.

    Raises:
        UserError: no comparison in it, or one without baseline and proposal.
    """
    folder = Path(folder)
    if not (folder / 'comparison.json').is_file():
        raise UserError(
            f'{folder}: no comparison.json; the report is made of what run_multiscale_experiments.sh leaves in --out'
        )
    comparison = read_json(folder / 'comparison.json')
    if missing := {BASELINE.name, PROPOSED.name} - set(comparison['detectors']):
        raise UserError(f'{folder}: the report compares with {", ".join(sorted(missing))}, whose results are missing')
    if comparison['comparison'] and 'by_table' not in comparison['comparison']:
        raise UserError(f'{folder}: comparison.json is of an earlier version; run analysis.compare again')
    edition = next(folder.glob('*/edition.json'), None)
    names = comparison['detectors']
    return Evidence(
        folder,
        comparison,
        *(_optional(folder / name / f'{name}.json') for name in ('attention', 'faithfulness', 'disagreements')),
        _optional(folder / 'controls' / 'comparison.json'),
        edition and read_json(edition),
        (_optional(folder / 'experiment.json') or {}).get('commands', []),
        _by_design(folder / 'checkpoints', 'opt.json', names),
        _by_design(folder / 'results', 'metrics.json', names),
        {name: [validation_ap(run) for run in sorted(folder.glob(f'checkpoints/{name}/seed_*'))] for name in names},
    )


def validation_ap(run, last=False):
    """Highest validation AP of a training, or that of its last epoch, from its log; None without one."""
    log = run / 'train_log.jsonl'
    values = [json.loads(line)['val/ap'] for line in log.read_text().splitlines()] if log.is_file() else []
    return max((value for value in values[-1 if last else 0 :] if value is not None), default=None)


def _optional(path):
    return read_json(path) if path.is_file() else None


def _by_design(folder, file, names):
    return {name: [read_json(path) for path in sorted(folder.glob(f'{name}/seed_*/{file}'))] for name in names}
