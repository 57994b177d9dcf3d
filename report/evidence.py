"""What the pipeline left in a folder, read once. A missing part is None, and the report says that it was not run."""

from dataclasses import dataclass, field
from pathlib import Path

from analysis.summary import is_control
from data.published import published_results
from data.tables import TABLES
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from util.errors import UserError
from util.files import read_json


@dataclass(frozen=True)
class Evidence:
    """Result files of one experiment; everything the report says comes from here.

    comparison, attention, faithfulness, disagreements, edition: the JSON files, or None.
    command: what the user typed, or None.
    training: {design: [opt.json of each seed]}; tests: {design: [metrics.json of each seed]}.
    """

    folder: Path
    comparison: dict
    attention: dict | None
    faithfulness: dict | None
    disagreements: dict | None
    edition: dict | None
    command: str | None
    training: dict = field(default_factory=dict)
    tests: dict = field(default_factory=dict)

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
    def published(self):
        """{(table, generator): NPR's published numbers} of what was scored."""
        scored = {(entry['table'], entry['generator']) for entry in self.generators(self.names[0])}
        return {key: value for key, value in published_results().items() if key in scored}


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
    edition = next(folder.glob('*/edition.json'), None)
    return Evidence(
        folder,
        comparison,
        *(_optional(folder / name / f'{name}.json') for name in ('attention', 'faithfulness', 'disagreements')),
        edition and read_json(edition),
        (_optional(folder / 'experiment.json') or {}).get('command'),
        _by_design(folder / 'checkpoints', 'opt.json', comparison['detectors']),
        _by_design(folder / 'results', 'metrics.json', comparison['detectors']),
    )


def _optional(path):
    return read_json(path) if path.is_file() else None


def _by_design(folder, file, names):
    return {name: [read_json(path) for path in sorted(folder.glob(f'{name}/seed_*/{file}'))] for name in names}
