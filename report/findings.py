"""What came out, as text: every sentence is chosen by an outcome, every number read from a file."""

from analysis.attention_text import sentences as attention_sentences
from analysis.comparison_text import outcome, sentence
from analysis.disagreement import OUTCOMES
from analysis.faithfulness_text import NO, NOT_SHOWN, YES
from analysis.words import count, listed, percent, points, shown, span
from pipeline.plan import BASELINE, PROPOSED
from report.limits import added, limits, not_run, preliminary, unlearned
from report.setup import (
    data,
    detectors,
    level,
    networks,
    over,
    provenance,
    published,
    scoring,
    seeds,
    threshold,
    training,
)

GAIN, TABLES_WITH_GAIN = 0.02, 2  # the proposal's aim: points of mean accuracy, on how many tables


def findings(evidence):
    """Everything the report and the slides print beside their own prose: a dict of strings and lists of strings."""
    return {
        'several_seeds': evidence.several_seeds,
        'level': level(evidence),
        'detectors': detectors(evidence),
        **networks(evidence),
        'data': data(evidence),
        'training': training(evidence),
        'scoring': scoring(evidence),
        'threshold': threshold(evidence),
        'published': published(evidence),
        'headline': headline(evidence),
        'preliminary': preliminary(evidence),
        'added': added(evidence),
        'aim': aim(evidence),
        'hypotheses': hypotheses(evidence),
        'ablation': ablation(evidence),
        'controls': controls(evidence),
        'against_controls': against_controls(evidence),
        'resampled': resampled(evidence),
        'attention': attention(evidence),
        'verdicts': (evidence.faithfulness or {}).get('verdicts', []),
        'believed': believed(evidence),
        'disagreements': disagreements(evidence),
        'not_run': not_run(evidence),
        'limits': limits(evidence),
        'conclusion': conclusion(evidence),
        'seeds': seeds(evidence),
        'provenance': provenance(evidence),
    }


def headline(evidence):
    """One sentence: what came out for the proposal against the baseline."""
    tests = {metric: evidence.test(PROPOSED.name, metric) for metric in ('ap', 'accuracy')}
    if not tests['ap']:
        return 'No generator had both classes, so nothing can be compared.'
    found = outcome(tests['ap'], evidence.comparison['alpha'])
    numbers = ', '.join(
        f'{word} {points(tests[metric]["interval"]["estimate"])} points ({level(evidence)} interval '
        f'{span(tests[metric]["interval"])})'
        for metric, word in (('ap', 'mean AP'), ('accuracy', 'mean accuracy'))
    )
    generators, interval = over(evidence, tests['ap']['generators']), tests['ap']['interval']
    if found in ('higher', 'lower'):
        word = {'higher': 'better', 'lower': 'worse'}[found]
        start = f'Several scales rank images of {generators} {word} than one'
    elif interval['low'] > 0 or interval['high'] < 0:
        word = 'better' if interval['low'] > 0 else 'worse'
        start = f'Several scales rank images of {generators} {word} than one by the interval, not confirmed by the test'
    else:
        start = f'No gain from several scales is shown on {generators}'
    return f'{start}: {numbers}.'


def aim(evidence):
    """Whether the proposal's aim is met."""
    aimed = (
        f"The proposal's aim, at least {100 * GAIN:g} points of mean accuracy on at least {TABLES_WITH_GAIN} tables,"
    )
    tables = (evidence.result or {'by_table': {}})['by_table'].get(PROPOSED.name, {})
    if len(tables) < TABLES_WITH_GAIN:
        return f'{aimed} cannot be judged on {count(len(tables), "table")}.'
    gains = {table: found['accuracy'] for table, found in tables.items()}
    numbers = '; '.join(f'{shown(t)} {points(g["estimate"])} ({span(g)})' for t, g in gains.items())
    reached = [gain for gain in gains.values() if gain['estimate'] >= GAIN]
    if len(reached) < TABLES_WITH_GAIN:
        return f'{aimed} is not met ({numbers}).'
    sure = sum(gain['low'] > 0 for gain in reached) >= TABLES_WITH_GAIN
    return f'{aimed} is met by the means{"" if sure else ", but intervals of these gains include zero"} ({numbers}).'


def hypotheses(evidence):
    """One sentence for each hypothesis about the proposal."""
    tests = (evidence.result or {'tests': ()})['tests']
    alpha = evidence.comparison['alpha']
    return [sentence(t, BASELINE.name, alpha) for t in tests if t['detector'] == PROPOSED.name]


def ablation(evidence):
    """Sentences about the other designs: which differ from the baseline, the best by mean AP, which did not learn."""
    others = [name for name in evidence.names if name not in (BASELINE.name, PROPOSED.name)]
    tested = [(name, evidence.test(name, 'ap')) for name in others if evidence.test(name, 'ap')]
    if not tested:
        return ['Other designs were not run.' if not others else 'Other designs cannot be compared.']
    found = []
    for side in ('higher', 'lower'):
        names = [shown(name) for name, test in tested if outcome(test, evidence.comparison['alpha']) == side]
        if names:
            verb = 'has' if len(names) == 1 else 'have'
            found.append(f'{listed(names)} {verb} a {side} mean AP than the baseline.')
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
    return [
        *found,
        f'Of all designs, {shown(best)} has the highest mean AP, {percent(means[best])}.',
        *unlearned(evidence),
    ]


def against_controls(evidence):
    """One sentence for each metric: the multi-scale detector against each of its controls, or none."""
    found = evidence.against_controls
    if not found or not found['comparison']:
        return []
    sentences = []
    for metric, word in (('ap', 'mean AP'), ('accuracy', 'mean accuracy')):
        parts = []
        for test in found['comparison']['tests']:
            if (test['metric'], test['family']) == (metric, None) and test['detector'] != BASELINE.name:
                interval = test['interval']
                mirrored = {
                    'estimate': 0 - interval['estimate'],
                    'low': 0 - interval['high'],
                    'high': 0 - interval['low'],
                }
                sure = {'higher': ', significant', 'lower': ', significant', 'open': ''}[outcome(test, found['alpha'])]
                parts.append(f'{shown(test["detector"])} {points(mirrored["estimate"])} ({span(mirrored)}{sure})')
        if parts:
            sentences.append(
                f'The multi-scale detector against its controls, points of {word} (significant: corrected by Holm for '
                f'these comparisons): {"; ".join(parts)}.'
            )
    return sentences


def resampled(evidence):
    """'seeds, generators and images': what the intervals are over."""
    test = evidence.test(PROPOSED.name, 'ap')
    return listed([f'{level}s' for level in test['interval']['levels']]) if test and test['interval']['levels'] else ''


def controls(evidence):
    """One sentence for each control of the benchmark, or none."""
    found = []
    for ours, theirs in zip(evidence.controls(PROPOSED.name), evidence.controls(BASELINE.name), strict=True):
        if ours['fake_accuracy'] is None:
            continue
        called = [
            f'{percent(entry["fake_accuracy"])}% of its images fake (of its reals '
            f'{percent(None if entry["real_accuracy"] is None else 1 - entry["real_accuracy"])}%)'
            for entry in (theirs, ours)
        ]
        found.append(
            f'Control {shown(ours["generator"])}, without up-sampling: the baseline calls {called[0]}, the multi-scale '
            f'detector {called[1]}.'
        )
    return found


def attention(evidence):
    """What the first seed's weights say; how far they differ between generators only where no study over seeds does."""
    if not evidence.attention:
        return []
    found = attention_sentences(evidence.attention)
    if evidence.faithfulness:
        found = found[1:]  # the study over seeds answers it
    return [f'First seed: {found[0][0].lower()}{found[0][1:]}', *found[1:]]


def believed(evidence):
    """One sentence: may attention weights be read as an explanation?"""
    if not evidence.faithfulness:
        return 'Whether attention weights may be believed was not tested.'
    verdicts = evidence.faithfulness['verdicts']
    whole = verdicts[-1]['answer']
    needed = next(verdict['answer'] for verdict in verdicts if verdict['question'].startswith('Are weights of'))
    if whole == YES:
        return 'The attention weights pass all four tests and may be read as an explanation.'
    if needed == NO:
        return (
            'Weights of its own for each image are not needed: with the mean weights for all images the detector ranks '
            'as well, so differences between the weights of images explain nothing of its ranking.'
        )
    if whole == NO:
        return 'The attention weights fail at least one of four tests and must not be read as an explanation.'
    if whole == NOT_SHOWN:
        return 'Whether the attention weights explain the decision is not shown by these data.'
    return 'Not all tests of the attention weights could be asked of these data, so they are no explanation yet.'


def disagreements(evidence):
    """Counts of the first seed, each image once."""
    if not evidence.disagreements:
        return 'Where the detectors disagree was not looked at.'
    names = {'only first right': 'only the baseline', 'only second right': 'only the multi-scale detector'}
    parts = []
    for label, totals in evidence.disagreements['totals'].items():
        words = ', '.join(f'{names.get(name, name.removesuffix(" right"))} {totals[name]}' for name in OUTCOMES)
        parts.append(f'of {count(sum(totals.values()), f"{label} image")} {words.replace("both wrong", "neither")}')
    return f'Right at the first seed, at {threshold(evidence, evidence.disagreements)}: {"; ".join(parts)}.'


def conclusion(evidence):
    test = evidence.test(PROPOSED.name, 'ap')
    found = outcome(test, evidence.comparison['alpha']) if test else None
    if found == 'higher':
        first = 'Looking at several scales generalised better to the generators tested here.'
    elif found == 'lower':
        first = 'Looking at several scales generalised worse to the generators tested here.'
    else:
        first = 'These data do not show that looking at several scales generalises better.'
    return [first, *preliminary(evidence), believed(evidence), aim(evidence)]
