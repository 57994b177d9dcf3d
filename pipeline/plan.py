"""What is run: designs times seeds, then what is made of their scores."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PYTHON = sys.executable


@dataclass(frozen=True)
class Design:
    """A detector to train.

    role: 'proposal', 'ablation' or 'control'; fusion: how it weighs branches, None: as the recipe says.
    """

    name: str
    model_type: str
    scales: tuple
    role: str
    fusion: str | None = None

    def flags(self, recipe):
        words = ['--model_type', self.model_type, '--npr_scales', ','.join(f'{scale:g}' for scale in self.scales)]
        if len(self.scales) > 1:
            words += ['--fusion', self.fusion or recipe.fusion]
        return [*words, *recipe.flags]


@dataclass(frozen=True)
class Recipe:
    """How networks are built and weigh their branches; how they are trained is the plan's own.

    flags: of every design; rate: learning rate of the quick plan.
    """

    fusion: str
    rate: float
    flags: tuple = ()


RECIPES = {
    'proposal': Recipe('attention', rate=7e-4),
    # What development on UpsampleBench chose (docs/experiments.md).
    'tuned': Recipe('evidence', rate=2e-3, flags=('--fine',)),
}

BASELINE = Design('baseline', 'single_scale', (0.5,), 'proposal')
PROPOSED = Design('multiscale_3', 'multiscale_attention', (0.25, 0.5, 0.75), 'proposal')
DESIGNS = (
    BASELINE,
    PROPOSED,
    Design('multiscale_2_coarse', 'multiscale_attention', (0.25, 0.5), 'ablation'),
    Design('multiscale_2_fine', 'multiscale_attention', (0.5, 0.75), 'ablation'),
    Design('multiscale_4', 'multiscale_attention', (0.2, 0.4, 0.6, 0.8), 'ablation'),
    Design('single_0.25', 'single_scale', (0.25,), 'control'),
    Design('single_0.75', 'single_scale', (0.75,), 'control'),
    Design('three_0.5', 'multiscale_attention', (0.5, 0.5, 0.5), 'control'),
    Design('uniform_3', 'multiscale_attention', (0.25, 0.5, 0.75), 'control', 'uniform'),
    Design('constant_3', 'multiscale_attention', (0.25, 0.5, 0.75), 'control', 'constant'),
    Design('attention_3', 'multiscale_attention', (0.25, 0.5, 0.75), 'control', 'attention'),
)


@dataclass(frozen=True)
class Step:
    """One command. It starts when all of `needs` are done and all of `after` have ended, however they ended.

    words: the command, or a function that makes it when the step starts. resume: a function that returns words to add,
    for a command that must be told to go on. made: a file that proves the step done without its mark, or None.
    """

    name: str
    words: list | Callable
    needs: tuple = ()
    after: tuple = ()
    resume: Callable = list
    made: Path | None = None

    def command(self):
        return [str(word) for word in (self.words() if callable(self.words) else self.words)]


@dataclass(frozen=True)
class Plan:
    """Where data come from and results go, and the flags of every command; see `full_plan` and `quick_plan`."""

    out: Path
    dataroot: Path
    testroot: Path
    designs: tuple
    seeds: tuple
    training: tuple
    testing: tuple
    recipe: Recipe
    checkpoint: str
    samples: int  # images of each generator in the study of faithfulness
    benchmark: bool = False
    frozen: bool = False  # accuracies at a threshold frozen on validation images, instead of a score of 0.5
    validation: str = 'val'  # the split for that

    def run(self, design, seed):
        return self.out / 'checkpoints' / design.name / f'seed_{seed}'

    def model(self, design, seed):
        return self.run(design, seed) / f'{self.checkpoint}.pth'

    def results(self, design, seed):
        return self.out / 'results' / design.name / f'seed_{seed}'

    def steps(self):
        """[Step], in the order in which they should start: one seed of all designs before the next seed."""
        steps, first = [], ()
        if self.benchmark:
            made = self.dataroot / 'edition.json'
            steps.append(Step('benchmark', [PYTHON, 'make_benchmark.py', '--out', self.dataroot], made=made))
            first = ('benchmark',)
        tests = []
        for seed in self.seeds:
            for design in self.designs:
                steps += [self._training(design, seed, first), *self._freezing(design, seed)]
                steps.append(self._testing(design, seed))
                tests.append(steps[-1].name)
        return steps + self._analyses(tuple(tests))

    def _training(self, design, seed, needs):
        folder = self.run(design, seed)
        words = [PYTHON, 'train.py', '--name', folder.name, '--checkpoints_dir', folder.parent]
        words += design.flags(self.recipe)
        words += ['--dataroot', self.dataroot, '--cache_dir', self.out / '.cache', '--seed', seed, *self.training]
        return Step(
            f'train_{design.name}_seed_{seed}',
            words,
            needs,
            resume=lambda: ['--continue_train'] if (folder / 'opt.json').is_file() else [],
        )

    def _freezing(self, design, seed):
        """Score validation images, put the threshold into the checkpoint."""
        if not self.frozen:
            return []
        name, model = f'{design.name}_seed_{seed}', self.model(design, seed)
        folder = self.out / 'validation' / design.name / f'seed_{seed}'
        words = [PYTHON, 'test.py', '--model_path', model, '--dataroot', self.dataroot / self.validation]
        words += ['--output_dir', folder]
        freeze = [PYTHON, 'calibrate.py', '--model_path', model, '--scores', folder / 'scores.csv']
        return [
            Step(f'validate_{name}', [*words, *self.testing], (f'train_{name}',)),
            Step(f'calibrate_{name}', freeze, (f'validate_{name}',)),
        ]

    def _testing(self, design, seed):
        words = [PYTHON, 'test.py', '--model_path', self.model(design, seed), '--dataroot', self.testroot]
        words += ['--output_dir', self.results(design, seed), *self.testing]
        name = f'{design.name}_seed_{seed}'
        return Step(f'test_{name}', words, (f'calibrate_{name}' if self.frozen else f'train_{name}',))

    def _tested(self, design):
        """Seeds of a design that have been tested; before any test, all that will be."""
        started = any(self.out.glob('results/*/*/metrics.json'))
        if not started:
            return list(self.seeds)
        return [seed for seed in self.seeds if (self.results(design, seed) / 'metrics.json').is_file()]

    def _analyses(self, tests):
        controls = [design for design in self.designs if design.role == 'control']

        frozen = ['--frozen_threshold'] if self.frozen else []

        def compare(designs, out, *more):
            runs = [self.out / 'results' / design.name for design in designs if self._tested(design)]
            return [PYTHON, '-m', 'analysis.compare', *runs, '--out', out, *frozen, *more]

        def against_controls():
            return compare((BASELINE, PROPOSED, *controls), self.out / 'controls', '--baseline', PROPOSED.name)

        def faithfulness():
            models = [self.model(PROPOSED, seed) for seed in self._tested(PROPOSED)]
            words = [PYTHON, 'faithfulness.py', '--model_path', *models, '--dataroot', self.testroot]
            return [*words, '--out', self.out / 'faithfulness', '--num_samples', self.samples, *self.testing]

        seed = self.seeds[0]
        needs = f'test_{PROPOSED.name}_seed_{seed}'
        results = [self.results(design, seed) for design in (BASELINE, PROPOSED)]
        attention = [PYTHON, 'visualize_attention.py', '--scores', results[1] / 'scores.csv', '--num_samples', 24]
        named = [f'{design.name}={folder}' for design, folder in zip((BASELINE, PROPOSED), results, strict=True)]
        failures = [PYTHON, 'show_failures.py', '--results', results[1], '--out', self.out / 'failures']
        steps = [
            Step('comparison', lambda: compare(self.designs, self.out), after=tests),
            *([Step('controls', against_controls, after=tests)] if controls else ()),
            Step('attention', [*attention, '--output_dir', self.out / 'attention'], (needs,)),
            Step('faithfulness', faithfulness, (needs,), after=tests),
            Step(
                'disagreements',
                [PYTHON, 'disagreements.py', *named, '--out', self.out / 'disagreements', *frozen],
                (f'test_{BASELINE.name}_seed_{seed}', needs),
            ),
            Step('failures', failures, (needs,)),
        ]
        report = [PYTHON, '-m', 'report', self.out]
        return [*steps, Step('report', report, ('comparison',), after=tuple(step.name for step in steps))]


def _distinct(designs, recipe):
    """Designs without those that are, with this recipe, one of the others: attention_3 is the proposal itself."""
    first = {}
    for design in designs:
        first.setdefault(tuple(design.flags(recipe)), design)
    return tuple(first.values())


def quick_plan(out, seeds=(0,), designs=(BASELINE, PROPOSED), epochs=16, recipe='tuned', wide=False):
    """UpsampleBench and a short training: what `make demo` runs. wide: as --wide says."""
    recipe, suffix = RECIPES[recipe], '_wide' if wide else ''
    training = ('--no_resize', '--cropSize', 64, '--batch_size', 16, '--niter', epochs, '--lr', recipe.rate)
    training += ('--train_split', f'train{suffix}', '--val_split', f'val{suffix}') if wide else ()
    return Plan(
        out=out,
        dataroot=out / 'UpsampleBench',
        testroot=out / 'UpsampleBench' / 'test',
        designs=_distinct(designs, recipe),
        seeds=seeds,
        training=(*training, '--pairs', '--cosine', '--label_smoothing', 0.1),
        recipe=recipe,
        testing=('--no_resize', '--cropSize', 128, '--batch_size', 32),
        checkpoint='model_epoch_last',  # the rate falls to zero, and validation AP soon is 1 for every epoch
        samples=100,
        benchmark=True,
        frozen=True,
        validation=f'val{suffix}',
    )


def full_plan(out, dataroot, testroot, seeds, epochs, designs=DESIGNS, recipe='proposal'):
    """The proposal's experiments on the public sets."""
    training = ('--classes', 'car,cat,chair,horse', '--batch_size', 32, '--niter', epochs, '--lr', 0.0002)
    return Plan(
        out=out,
        dataroot=dataroot,
        testroot=testroot,
        designs=_distinct(designs, RECIPES[recipe]),
        seeds=seeds,
        training=(*training, '--delr_freq', 10),
        recipe=RECIPES[recipe],
        testing=('--batch_size', 64),
        checkpoint='model_epoch_last',
        samples=1000,
    )
