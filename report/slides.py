"""The talk: slides.toml filled with what the results say."""

import tomllib
from pathlib import Path

from report.deck import Deck

TALK = Path(__file__).with_name('slides.toml')
MOST_ROWS = 14  # of generators on one slide; of more, or of several tables, only the means are shown


def write_slides(found, figures, path):
    """Write the presentation whole.

    Args:
        found: from report.__main__.contents; figures: {name: path of a PNG}.
    """
    answers = [f'{v["question"]} {v["answer"].capitalize()}.' for v in found['verdicts']]
    verdicts = [f'{v["question"]} {v["answer"].capitalize()}: {v["because"]}.' for v in found['verdicts']]
    nothing = ['The tests of attention were not run.']
    texts = {**found, 'answers': answers or nothing, 'verdicts': verdicts or nothing}
    texts['attention'] = found['attention'] or ['The analysis of attention was not run.']
    everything = [table for table in found['generator_tables'] if len(table['rows']) <= MOST_ROWS]
    short = everything[0] if everything and len(found['generator_tables']) == 1 else found['means_table']
    tables = {'results': short, 'designs': found['design_table']}
    deck = Deck()
    for slide in tomllib.loads(TALK.read_text(encoding='utf-8'))['slide']:
        body, notes = fill(slide['body'], texts), fill(slide['notes'], texts)
        notes += [f'If asked "{question}": {answer.format(**texts)}' for question, answer in slide['questions']]
        if slide.get('opening'):
            deck.opening(slide['title'], body, notes)
        elif 'picture' in slide:
            deck.picture(slide['title'], figures.get(slide['picture']), body, notes)
        elif 'table' in slide:
            deck.table(slide['title'], tables[slide['table']], body, notes)
        else:
            deck.text(slide['title'], body, notes)
    deck.save(path)


def fill(paragraphs, texts):
    """Paragraphs with '{name}' filled in; one that is nothing but the name of a list becomes the items of the list."""
    filled = []
    for paragraph in paragraphs:
        value = texts.get(paragraph[1:-1])
        filled += value if isinstance(value, list) else [paragraph.format(**texts)]
    return filled
