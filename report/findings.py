"""What the results say, as text and tables: every sentence is chosen by an outcome, every number read from a file."""

from analysis.attention_text import sentences as attention_sentences
from analysis.comparison_text import outcome, sentence
from analysis.disagreement import OUTCOMES
from analysis.faithfulness_text import NO, NOT_SHOWN, YES
from analysis.summary import is_control
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from report.words import count, listed, percent, points, shown, span

GAIN, TABLES_WITH_GAIN = 0.02, 2  # the aim set beforehand: points of mean accuracy, on how many tables
ENOUGH_SEEDS = 5


def findings(evidence):
    """Everything the report and the slides print beside their own prose: a dict of strings and lists of strings."""
    return {
        'detectors': detectors(evidence),
        'data': data(evidence),
        'training': training(evidence),
        'scoring': scoring(evidence),
        'headline': headline(evidence),
        'aim': aim(evidence),
        'hypotheses': hypotheses(evidence),
        'ablation': ablation(evidence),
        'controls': controls(evidence),
        'attention': attention_sentences(evidence.attention) if evidence.attention else [],
        'verdicts': (evidence.faithfulness or {}).get('verdicts', []),
        'believed': believed(evidence),
        'disagreements': disagreements(evidence),
        'not_run': not_run(evidence),
        'limits': limits(evidence),
        'conclusion': conclusion(evidence),
        'seeds': seeds(evidence),
        'provenance': provenance(evidence),
    }


def alpha(evidence):
    return evidence.comparison['alpha']


def level(evidence):
    return f'{100 * (1 - alpha(evidence)):g}%'


def detectors(evidence):
    """'7 designs of detectors, 5 seeds each'"""
    seeds = sorted(set(evidence.seeds.values()))
    many = count(seeds[0], 'seed') if len(seeds) == 1 else f'{seeds[0]} to {seeds[-1]} seeds'
    return f'{count(len(evidence.names), "design")} of detectors, {many} each'


def first_run(evidence):
    """opt.json of some run of the proposal, or None."""
    return next(iter(evidence.training.get(PROPOSED.name) or ()), None)


def over(evidence, number):
    """'4 unseen generators'; the public tables hold the generator of their training set too."""
    seen = any(entry['generator'] == 'progan' for entry in evidence.generators(BASELINE.name))
    return (
        f'{count(number, "generator")} (with ProGAN, seen in training)' if seen else count(number, 'unseen generator')
    )


def data(evidence):
    """Sentences about training and test images."""
    images = sum(entry['real_images'] + entry['fake_images'] for entry in evidence.generators(BASELINE.name))
    found = []
    if edition := evidence.edition:
        tiles = {split: sum(kinds.values()) for split, kinds in edition['tiles'].items()}
        photos = {split: kinds.get('photo', 0) for split, kinds in edition['tiles'].items()}
        found.append(
            f'{edition["name"]}: {tiles["train"]} real tiles of {edition["size"]} px for training and {tiles["test"]} '
            f'for testing ({photos["train"]} and {photos["test"]} of them from photographs, the others rendered), each '
            f'redone by every decoder. Training sees one of them, {shown(edition["training_decoder"])}.'
        )
        made = [name for table, names in edition['tables'].items() if not is_control(table) for name in names]
        worst = max(edition['audit'][name]['shortcut_auc'] for name in made)
        found.append(
            f'A logistic regression on global facts of the images (energies, means, file size) tells fakes from reals '
            f'with an AUC of at most {worst:.2f} for any decoder; 0.5 is chance.'
        )
    elif run := first_run(evidence):
        classes = run['options']['classes']
        found.append('Training images: ' + (f'the classes {listed(classes)}.' if classes else 'all classes.'))
    found.append(
        f'Tested on {count(images, "image")} of {count(len(evidence.generators(BASELINE.name)), "generator")}; '
        f'means are over {over(evidence, evidence.summary(BASELINE.name)["mean_over"])} with both classes.'
    )
    return found


def training(evidence):
    run = first_run(evidence)
    if not run:
        return 'The options of the trainings are not among these results.'
    options = run['options']
    size = 'native pixels' if options['no_resize'] else f'images resized to {options["loadSize"]} px'
    cut = f', cut after every {count(options["delr_freq"], "epoch")}' if options['delr_freq'] else ''
    return (
        f'{count(options["niter"], "epoch")} with batches of {options["batch_size"]}, {options["optim"].capitalize()} '
        f'with learning rate {options["lr"]:g}{cut}; random crops of {options["cropSize"]} px from {size}, flips; '
        f'{run["precision"]} arithmetic.'
    )


def scoring(evidence):
    test = next(iter(evidence.tests.get(PROPOSED.name) or ()), None)
    if not test:
        return 'How images were scored is not among these results.'
    load, crop = (test['pixels'][key] for key in ('load_size', 'crop_size'))
    size = 'native pixels' if load is None else f'images resized to {load} px'
    crop = 'whole' if crop is None else f'centre crops of {crop} px'
    best = test['model_path'].endswith('best.pth')
    kept = 'the epoch with the best validation AP' if best else 'the last epoch'
    return f'Scored on {size}, {crop}; the checkpoint tested is {kept}.'


def headline(evidence):
    """One sentence: what came out for the proposal against the baseline."""
    tests = {metric: evidence.test(PROPOSED.name, metric) for metric in ('ap', 'accuracy')}
    if not tests['ap']:
        return 'No generator had both classes, so nothing can be compared.'
    found = {metric: outcome(test, alpha(evidence)) for metric, test in tests.items()}
    numbers = ', '.join(
        f'{word} {points(tests[metric]["interval"]["estimate"])} points ({level(evidence)} interval '
        f'{span(tests[metric]["interval"])})'
        for metric, word in (('ap', 'mean AP'), ('accuracy', 'mean accuracy'))
    )
    generators = over(evidence, tests['ap']['generators'])
    if found['ap'] == 'higher':
        start = f'Several scales rank images of {generators} better than one'
    elif found['ap'] == 'lower':
        start = f'Several scales rank images of {generators} worse than one'
    else:
        start = f'No gain from several scales is shown on {generators}'
    return f'{start}: {numbers}.'


def aim(evidence):
    """Whether the aim that was set beforehand is met."""
    aimed = f'The aim set beforehand, at least {100 * GAIN:g} points of mean accuracy on at least {TABLES_WITH_GAIN}'
    tables = (evidence.result or {'by_table': {}})['by_table'].get(PROPOSED.name, {})
    if len(tables) < TABLES_WITH_GAIN:
        return f'{aimed} tables, cannot be judged on {count(len(tables), "table")}.'
    gains = {table: found['accuracy'] for table, found in tables.items()}
    numbers = '; '.join(f'{shown(t)} {points(g["estimate"])} ({span(g)})' for t, g in gains.items())
    reached = [table for table, gain in gains.items() if gain['estimate'] >= GAIN]
    sure = [table for table, gain in gains.items() if gain['low'] > 0]
    if len(reached) < TABLES_WITH_GAIN:
        return f'{aimed} tables, is not met ({numbers}).'
    doubt = '' if len(set(sure) & set(reached)) >= TABLES_WITH_GAIN else ', but intervals of these gains include zero'
    return f'{aimed} tables, is met by the means{doubt} ({numbers}).'


def hypotheses(evidence):
    """One sentence for each hypothesis about the proposal."""
    tests = (evidence.result or {'tests': ()})['tests']
    return [sentence(t, BASELINE.name, alpha(evidence)) for t in tests if t['detector'] == PROPOSED.name]


def ablation(evidence):
    """Sentences about the other designs: which differ from the baseline, and the best by mean AP."""
    others = [name for name in evidence.names if name not in (BASELINE.name, PROPOSED.name)]
    tested = [(name, evidence.test(name, 'ap')) for name in others if evidence.test(name, 'ap')]
    if not tested:
        return ['Other designs were not run.']
    found = []
    for side, words in (('higher', 'a higher'), ('lower', 'a lower')):
        names = [name for name, test in tested if outcome(test, alpha(evidence)) == side]
        if names:
            found.append(f'{listed(names)} {"has" if len(names) == 1 else "have"} {words} mean AP than the baseline.')
    apart = [
        f'{shown(name)} {points(test["interval"]["estimate"])} ({span(test["interval"])})'
        for name, test in tested
        if test['interval']['low'] > 0 or test['interval']['high'] < 0
    ]
    if not found:
        found.append('By interval and test together, none of them differs from the baseline in mean AP.')
    if apart:
        found.append(f'Intervals without zero: {"; ".join(apart)}.')
    means = {name: evidence.summary(name)['mean']['ap'] for name in evidence.names}
    best = max(means, key=means.get)
    found.append(f'The highest mean AP has {shown(best)}, {percent(means[best])}.')
    return found


def controls(evidence):
    """One sentence for each control of the benchmark, or none."""
    found = []
    for ours, theirs in zip(evidence.controls(PROPOSED.name), evidence.controls(BASELINE.name), strict=True):
        if ours['fake_accuracy'] is None:
            continue
        called = [
            f'{percent(entry["fake_accuracy"])}% of its images fake (of its reals '
            f'{percent(entry["real_accuracy"] and 1 - entry["real_accuracy"])}%)'
            for entry in (theirs, ours)
        ]
        found.append(
            f'Control {shown(ours["generator"])}, without up-sampling: the baseline calls {called[0]}, the multi-scale '
            f'detector {called[1]}.'
        )
    return found


def believed(evidence):
    """One sentence: may attention weights be read as an explanation?"""
    if not evidence.faithfulness:
        return 'Whether attention weights may be believed was not tested.'
    answers = {verdict['question']: verdict for verdict in evidence.faithfulness['verdicts']}
    whole = evidence.faithfulness['verdicts'][-1]
    needed = next(verdict['answer'] for question, verdict in answers.items() if question.startswith('Are weights of'))
    if whole['answer'] == YES:
        return 'The attention weights pass all four tests and may be read as an explanation.'
    if needed == NO:
        return (
            'A weight of its own for each image is not needed: with the mean weights for all images the detector ranks '
            'as well, so the weights explain nothing of its ranking.'
        )
    if whole['answer'] == NO:
        return 'The attention weights fail at least one of four tests and must not be read as an explanation.'
    if whole['answer'] == NOT_SHOWN:
        return 'Whether the attention weights explain the decision is not shown by these data.'
    return 'Not all tests of the attention weights could be asked of these data, so they are no explanation yet.'


def disagreements(evidence):
    """One sentence with counts, for the first seed."""
    if not evidence.disagreements:
        return 'Where the detectors disagree was not looked at.'
    totals = {name: sum(row[4 + i] for row in evidence.disagreements['counts']) for i, name in enumerate(OUTCOMES)}
    names = {'only first right': 'only the baseline', 'only second right': 'only the multi-scale detector'}
    words = ', '.join(f'{names.get(name, name.removesuffix(" right"))} {number}' for name, number in totals.items())
    images = sum(totals.values())
    return f'Of {count(images, "image")} of one seed these are right: {words.replace("both wrong", "neither")}.'


def not_run(evidence):
    """What of the plan these results do not have."""
    found = []
    absent = [f'table {table.number} ({table.name})' for table, names in evidence.public if not names]
    partly = [
        f'table {table.number} ({table.name}): {len(names)} of {count(len(table.generators), "generator")}'
        for table, names in evidence.public
        if names and len(names) < len(table.generators)
    ]
    if absent:
        found.append(f'Not run, because the data were not there: the public {listed(absent)}.')
    if partly:
        found.append(f'Found only in part: {"; ".join(partly)}.')
    designs = [shown(design.name) for design in DESIGNS if design.name not in evidence.names]
    if designs:
        found.append(f'Designs of the plan without results: {listed(designs)}.')
    for part, what in (('attention', 'the analysis of attention'), ('faithfulness', 'the tests of attention')):
        if getattr(evidence, part) is None:
            found.append(f'There are no results of {what}.')
    return found


def limits(evidence):
    found = not_run(evidence)
    if evidence.edition:
        found.append(
            'UpsampleBench holds the last generation stage only, under control: nothing here is a result on StyleGAN, '
            'Stable Diffusion or any other generator in use.'
        )
    if not any(test['family'] for test in (evidence.result or {'tests': ()})['tests']):
        found.append('No diffusion model was among the generators, so nothing is said about them.')
    fewest = min(evidence.seeds.values())
    if fewest < ENOUGH_SEEDS:
        found.append(f'Preliminary: {count(fewest, "seed")}, where luck of the seed is as large as most effects.')
    test = evidence.test(PROPOSED.name, 'ap')
    smallest = test and test['wilcoxon']['smallest_p']
    if test and (smallest is None or smallest > alpha(evidence)):
        found.append(
            f"{count(test['n'], 'unrelated generator')} can never decide a hypothesis by Wilcoxon's test; intervals "
            'say how far the mean may be off.'
        )
    found.append(
        'Controls with three equal branches at 0.5, and with equal weights trained from the start, are not among the '
        'designs; equal weights put in afterwards are tested.'
    )
    return found


def conclusion(evidence):
    test = evidence.test(PROPOSED.name, 'ap')
    found = outcome(test, alpha(evidence)) if test else None
    if found == 'higher':
        first = 'Looking at several scales generalised better to the generators tested here.'
    elif found == 'lower':
        first = 'Looking at several scales generalised worse to the generators tested here.'
    else:
        first = 'These data do not show that looking at several scales generalises better.'
    return [first, believed(evidence), aim(evidence)]


def seeds(evidence):
    folders = {name for each in evidence.comparison['folders'].values() for name in each}
    return f'Seeds: {listed(sorted(name.removeprefix("seed_") for name in folders))}.'


def provenance(evidence):
    """Where the numbers come from: commits, machine, versions, seeds."""
    machines = [run['machine'] for runs in (*evidence.training.values(), *evidence.tests.values()) for run in runs]
    found = [seeds(evidence)]
    if machines:
        commits = sorted({machine['commit'] or 'unknown' for machine in machines})
        found.append(f'Commit of trainings and tests: {listed(commits)}.')
        kinds = {
            f'{m["gpu"] or "CPU"}, {m["cores"]} cores, PyTorch {m["torch"]}, Python {m["python"]}' for m in machines
        }
        found.append(f'Machine: {"; ".join(sorted(kinds))}.')
    if command := evidence.command:
        found.append(f'Command: {command}')
    return found
