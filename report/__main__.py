"""Report and slides of an experiment: python -m report FOLDER

FOLDER is the --out of run_multiscale_experiments.sh. Writes report.pdf, slides.pptx and figures/ into it (or to --out).
"""

from pathlib import Path

from analysis.words import typographic
from options.base_options import StrictParser
from report.evidence import load
from report.figures import draw_all
from report.findings import findings
from report.paper import write_report
from report.slides import write_slides
from report.tables import design_table, generator_tables, means_table
from util.errors import friendly_errors
from util.files import make_folder


def get_parser():
    parser = StrictParser(prog='python -m report', description=__doc__.split('\n\n')[1])
    parser.add_argument('folder', help='what run_multiscale_experiments.sh left in its --out')
    parser.add_argument('--out', help='folder for what is written; default: FOLDER')
    return parser


def contents(evidence):
    """All text and tables of the results: what report.typ and the slides print."""
    found = {
        **findings(evidence),
        'generator_tables': generator_tables(evidence),
        'means_table': means_table(evidence),
        'design_table': design_table(evidence),
    }
    return typographic(found)


def main(args):
    evidence = load(args.folder)
    out = make_folder(args.out or args.folder)
    figures = draw_all(evidence, make_folder(out / 'figures'))
    failures = Path(args.folder) / 'failures' / 'failures.png'
    if failures.is_file():
        figures['failures'] = failures
    found = contents(evidence)
    write_report(found, figures, out / 'report.pdf')
    write_slides(found, figures, out / 'slides.pptx')
    print(f'written to {out}: report.pdf, slides.pptx, figures/')


if __name__ == '__main__':
    with friendly_errors('report'):
        main(get_parser().parse_args())
