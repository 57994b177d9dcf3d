"""Verdicts and tables of a faithfulness study; every sentence is chosen by the numbers."""

from analysis.interventions import KINDS
from analysis.summary import markdown_table
from analysis.words import p_relation

YES, NO, NOT_SHOWN, UNKNOWN = 'yes', 'no', 'not shown', 'cannot be asked'
MARGIN = 0.02  # of AP; a change that certainly stays below it is called none
LEAST_SHARE = 0.1  # of the variance that generators must explain to be called consistent
PLAIN = {
    'own': 'own weights',
    'set_mean': 'the mean weights for all images',
    'shuffled': "another image's weights",
    'uniform': 'equal weights',
    'random': 'an untrained attention network',
}
KIND_WORDS = {
    'drop': 'branch left out of the attention',
    'zero': 'features set to zero',
    'mean': 'features set to their mean',
}


def verdicts(result):
    """[{'question', 'answer': YES, NO, NOT_SHOWN or UNKNOWN, 'because'}], the last one about believing weights."""
    parts = [_needed(result), _ordered(result), _stable(result), _control(result)]
    for answer, words in ((NO, 'not met: '), (NOT_SHOWN, 'undecided: '), (UNKNOWN, 'these could not be asked: ')):
        if found := [part['question'] for part in parts if part['answer'] == answer]:
            whole = (answer, words + ' '.join(found).rstrip('?'))
            break
    else:
        whole = (YES, 'all four conditions are met on these data')
    questions = [
        _family(result, 'gan', 1, 'GANs'),
        _family(result, 'diffusion', -1, 'diffusion models'),
        _consistent(result),
    ]
    return [*parts, *questions, _verdict('May the weights be read as an explanation?', *whole)]


def _verdict(question, answer, because):
    return {'question': question, 'answer': answer, 'because': because}


def _range(interval, scale=1.0, digits=2):
    return ' to '.join(f'{scale * interval[key]:+.{digits}f}' for key in ('low', 'high'))


def _needed(result):
    question = 'Are weights of its own for each image needed?'
    replaced = result['weights_replaced']
    if replaced is None:
        return _verdict(question, UNKNOWN, 'no generator with enough real and fake images')
    changes = {name: replaced[name]['ap_change'] for name in ('set_mean', 'shuffled')}
    if all(change['high'] < 0 for change in changes.values()):
        answer = YES
    elif all(max(abs(change['low']), abs(change['high'])) < MARGIN for change in changes.values()):
        answer = NO
    else:
        answer = NOT_SHOWN
    words = [
        f'{PLAIN[name]} change AP by {100 * change["estimate"]:+.2f} points ({_range(change, 100)})'
        for name, change in changes.items()
    ]
    return _verdict(question, answer, '; '.join(words))


def _ordered(result):
    question = 'Does a branch with more weight move the decision more?'
    found = result['weights_against_effects']
    if not found:
        return _verdict(question, UNKNOWN, 'no generator with enough real and fake images')
    ranks = [found[kind]['rank'] for kind in KINDS]
    low, high = min(rank['low'] for rank in ranks), min(rank['high'] for rank in ranks)
    words = [
        f"{KIND_WORDS[kind]} {rank['estimate']:+.2f} ({_range(rank)}; with other images' weights "
        f'{found[kind]["rank_of_others"]:+.2f})'
        for kind, rank in zip(KINDS, ranks, strict=True)
    ]
    text = f'rank agreement of weight and effect, some of which is built in: {"; ".join(words)}'
    return _verdict(question, YES if low > 0 else NO if high < 0 else NOT_SHOWN, text)


def _stable(result):
    question = 'Do weights stay when the image hardly changes and the verdict stays?'
    found = result['stability']
    reference = found['another image']['distance']
    changed = {name: each for name, each in found.items() if each['verdict_changed'] is not None}
    if not reference or reference < 1e-6:
        return _verdict(question, UNKNOWN, 'weights do not differ between images')
    if not changed or any(each['distance'] is None for each in changed.values()):
        return _verdict(question, UNKNOWN, 'no image was changed, or no verdict stayed')
    met = all(each['distance'] < reference / 2 for each in changed.values())
    words = [f'{name.replace("_", " ")} {each["distance"]:.3f}' for name, each in changed.items()]
    text = f'Jensen-Shannon distance in bits: {", ".join(words)}; between images {reference:.3f} (met below half of it)'
    return _verdict(question, YES if met else NO, text)


def _control(result):
    question = 'Does the weight follow the up-sampling factor where it is known?'
    found = result['positive_control']
    means = ', '.join(f'x{factor}: {shift:+.3f}' for factor, shift in found['by_factor'].items())
    rho = found['correlation']
    if rho is None:
        why = f'the UpsampleBench decoders here are too few to decide it ({means or "none"})'
        return _verdict(question, UNKNOWN, why)
    text = (
        f'fakes against reals, change of mean octave by factor {means}; Spearman {rho["rho"]:+.2f} '
        f'({_range(rho)}) over {rho["generators"]} decoders, p {p_relation(rho["p"])}'
    )
    sure = rho['p'] < 0.05
    return _verdict(question, NOT_SHOWN if not sure else YES if rho['rho'] > 0 else NO, text)


def _family(result, family, sign, name):
    question = f'Do {name} draw attention to {"coarser" if sign > 0 else "finer"} scales than real images?'
    found = result['families'][family]
    if found is None or found['low'] is None:
        units = found['units'] if found else 0
        return _verdict(question, UNKNOWN, f'{units} unrelated generators of this family; it takes three')
    low, high = sorted(sign * found[key] for key in ('low', 'high'))
    change = f'{found["mean"]:+.3f} ({_range(found, digits=3)})'
    where = ', '.join(found['tables'])
    text = f'mean octave of fakes minus reals {change} over {found["units"]} generators of {where}'
    return _verdict(question, YES if low > 0 else NO if high < 0 else NOT_SHOWN, text)


def _consistent(result):
    question = 'Are weights consistent within a generator?'
    found = result['separation_of_generators']
    fake, real = found['fake'], found['real']
    if fake is None:
        return _verdict(question, UNKNOWN, 'it takes two generators')
    share = f'{100 * fake["share"]:.1f}%'
    text = f'the generator explains {share} of the variance of weights on fakes (p {p_relation(fake["p"])})'
    shared = real is not None and real['share'] < 1e-6  # the same photographs for all
    if real and not shared:
        text += f', {100 * real["share"]:.1f}% on reals, where only contents differ'
    alone = real is None or fake['share'] > 2 * real['share']
    if fake['p'] >= 0.05:
        return _verdict(question, NOT_SHOWN, text)
    return _verdict(question, YES if alone and fake['share'] >= LEAST_SHARE else NO, text)


def report(result, answers):
    """The whole Markdown report."""
    seeds, scales = result['seeds'], [f'{scale:g}' for scale in result['scales']]
    several, generators = seeds > 1, len(result['generators'])
    parts = [
        '# May the attention weights be believed?\n\n'
        f'{result["images"]} images, {generators} generators, {seeds} checkpoint{"s" if several else ""}. '
        f'Intervals are of 95%, over {"seeds, " if several else ""}generators and images. '
        'Accuracies and verdicts are at a score of 0.5 (logit 0), also where a detector has a frozen threshold.\n',
        '\n'.join(f'- **{a["question"]}** {a["answer"].capitalize()}: {a["because"]}.' for a in answers) + '\n',
    ]
    if seeds < 5:
        parts.append('Preliminary: fewer than 5 seeds.\n')
    if result['weights_replaced']:
        parts.append('## Other weights, other branches\n\n' + _replaced_table(result['weights_replaced'], scales))
    parts.append('## Weight and effect of each branch\n\n' + _effects_table(result, scales))
    parts.append('## Stability of the weights\n\n' + _stability_table(result['stability']))
    if result['contributions']:
        parts.append('## What each scale contributes\n\n' + _contributions_table(result, scales))
    return '\n'.join(parts)


def _replaced_table(replaced, scales):
    rows = []
    names = {**PLAIN, **{f'{kind}_{scale}': f'{scale}: {KIND_WORDS[kind]}' for scale in scales for kind in KINDS}}
    for name, words in names.items():
        cells = [words]
        for metric in ('ap', 'accuracy'):
            change = replaced[name][f'{metric}_change']
            cells.append(f'{100 * replaced[name][metric]["estimate"]:.1f}')
            cells.append(f'{100 * change["estimate"]:+.2f} ({_range(change, 100)})' if change else '-')
        rows.append(cells)
    return markdown_table(['Detector with', 'AP', 'Change', 'Acc.', 'Change'], rows)


def _effects_table(result, scales):
    rows = [
        [scale, f'{result["mean_weights"][i]:.3f}', *(f'{result["support"][kind][i]:+.2f}' for kind in KINDS)]
        for i, scale in enumerate(scales)
    ]
    text = (
        markdown_table(['Scale', 'Mean weight', *(KIND_WORDS[kind] for kind in KINDS)], rows)
        + '\nMean change of the logit in favour of the decision that was taken; below 0: the branch spoke against it.\n'
    )
    if found := result['weights_against_effects']:
        first = [
            f'{KIND_WORDS[kind]} {100 * found[kind]["first"]:.0f}% ({100 * found[kind]["first_of_others"]:.0f}%)'
            for kind in KINDS
        ]
        text += f"The heaviest scale has most effect in (with another image's weights): {', '.join(first)}.\n"
    return text


def _stability_table(found):
    def percent(value):
        return '-' if value is None else f'{100 * value:.0f}'

    rows = [
        [
            name.replace('_', ' '),
            '-' if each['distance'] is None else f'{each["distance"]:.3f}',
            percent(each['same_first']),
            percent(each['verdict_changed']),
        ]
        for name, each in found.items()
    ]
    headings = ['Against', 'Jensen-Shannon distance, bits', 'Same scale first, %', 'Verdict changed, %']
    return markdown_table(headings, rows) + '\nDistances of perturbed images are over those whose verdict stayed.\n'


def _contributions_table(result, scales):
    means = {(e['table'], e['generator']): e for e in result['generators']}
    rows = []
    for each in result['contributions']:
        entry = means[each['table'], each['generator']]
        cells = [
            f'{each["table"]}/{each["generator"]}',
            f'{100 * each["all"]["ap"]:.1f}',
            f'{100 * each["all"]["accuracy"]:.1f}',
        ]
        for scale in scales:
            without = each['without'][scale]
            cells.append(f'{entry["real"]["mean"][scale]:.2f} / {entry["fake"]["mean"][scale]:.2f}')
            cells += [f'{100 * (without[metric] - each["all"][metric]):+.1f}' for metric in ('ap', 'accuracy')]
        rows.append(cells)
    headings = ['Generator', 'AP', 'Acc.']
    for scale in scales:
        headings += [f'weight of {scale}', 'AP without', 'Acc. without']
    return (
        markdown_table(headings, rows)
        + '\nMean weight on reals / fakes; beside it the change of AP and accuracy, in points, without that scale.\n'
    )
