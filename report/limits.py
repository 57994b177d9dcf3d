"""What an experiment did not do, and how far its results carry."""

from analysis.comparison_text import ENOUGH_SEEDS
from analysis.words import count, listed, percent, shown
from pipeline.plan import DESIGNS, PROPOSED

LEARNED = 0.9  # validation AP below which a training has not learned its own task


def not_run(evidence):
    """What is not among these results."""
    found = []
    absent = [f'table {table.number} ({table.name})' for table, names in evidence.public if not names]
    partly = [
        f'table {table.number} ({table.name}): {len(names)} of {count(len(table.generators), "generator")}'
        for table, names in evidence.public
        if names and len(names) < len(table.generators)
    ]
    run = next(iter(evidence.training.get(PROPOSED.name) or ()), {'detector': {}})
    own = run['detector'].get('fusion', 'attention')  # a design with this fusion is the proposal itself
    designs = [
        shown(design.name)
        for design in DESIGNS
        if design.name not in evidence.names and not (design.fusion == own and design.scales == PROPOSED.scales)
    ]
    if absent:
        found.append(f'Not among these results: the public {listed(absent)}.')
    if partly:
        found.append(f'Public tables in part: {"; ".join(partly)}.')
    if designs:
        found.append(f'Designs without results: {listed(designs)}.')
    for part, what in (('attention', 'the analysis of attention'), ('faithfulness', 'the tests of attention')):
        if getattr(evidence, part) is None:
            found.append(f'There are no results of {what}.')
    return found


def preliminary(evidence):
    fewest = min(evidence.seeds.values())
    luck = ", so the seed's luck is in no interval" if fewest == 1 else ''
    return [f'Preliminary: {count(fewest, "seed")}{luck}.'] if fewest < ENOUGH_SEEDS else []


def unlearned(evidence):
    """Designs whose trainings did not all learn to tell the images that they were trained on."""
    lowest = {
        name: min(values)
        for name, values in evidence.validation.items()
        if values and None not in values and min(values) < LEARNED
    }
    if not lowest:
        return []
    words = listed([f'{shown(name)} {percent(value)}' for name, value in lowest.items()])
    return [
        f'Not every training learned its own task (lowest validation AP: {words}), so these designs show a difficulty '
        'of training, and nothing about what their scales could see.'
    ]


def added(evidence):
    """What this experiment has that published tests of several scales lack."""
    parts = ['a test with several seeds', 'intervals over seeds, generators and images']
    parts = parts if evidence.several_seeds else ['a test with intervals over images']
    parts += ['images checked for shortcuts'] if evidence.edition else []
    parts += ['a check whether attention weights mean anything'] if evidence.faithfulness else []
    return f'This work adds {listed(parts)}; it claims no first use of several scales.'


def limits(evidence):
    """Sentences about how far the results carry."""
    found = not_run(evidence)
    if evidence.edition and not any(names for _, names in evidence.public):
        found.append(
            'UpsampleBench holds the last generation stage only, under control: nothing here is a result on StyleGAN, '
            'Stable Diffusion or any other generator in use.'
        )
    families = {entry['family'] for entry in evidence.generators(PROPOSED.name)}
    if 'diffusion' not in families:
        found.append('No diffusion model was among the generators, so nothing is said about them.')
    elif not evidence.test(PROPOSED.name, 'ap', 'diffusion'):
        found.append('No diffusion model has both classes here, so nothing is said about them.')
    found += preliminary(evidence)
    found += unlearned(evidence)
    test = evidence.test(PROPOSED.name, 'ap')
    smallest = test and test['wilcoxon']['smallest_p_holm']
    if test and (smallest is None or smallest > evidence.comparison['alpha']):
        found.append(
            f"{count(test['n'], 'unrelated generator')} can never decide a hypothesis by Wilcoxon's test, corrected "
            f'for {count(len(evidence.result["tests"]), "test")}; intervals say how far the mean may be off.'
        )
    return found
