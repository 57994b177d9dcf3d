"""The tables of UpsampleBench as data: which generators, of which design and seed, controls, training sets."""

from dataclasses import dataclass

from generators.decoders import DECODERS


@dataclass(frozen=True)
class Member:
    """A generator of a table. design: of generators.decoders.DECODERS, or None for a control without a network.

    name: of its folder. seed: which training of the design; other seeds are the same design with other weights.
    """

    name: str
    design: str | None
    seed: int = 0

    @property
    def period(self):
        """Pixels after which all of the up-sampling repeats: the factor; 2 where there is none."""
        return max(2, DECODERS[self.design].factor) if self.design else 2


def _members(*designs, seed=0):
    return tuple(Member(design, design, seed) for design in designs)


TABLES = {
    'U1_gan_decoders': _members(
        'bilinear_x2',
        'transposed_x2',
        'transposed3_x2',
        'shuffle_x2',
        'bilinear_x4',
        'transposed_x4',
        'shuffle_x4',
    ),
    'U2_diffusion_decoders': _members('pixel_nearest', 'pixel_transposed', 'latent_f4', 'latent_f8', 'quantised_f4'),
    'U3_factor_sweep': _members('nearest_x2', 'nearest_x4', 'nearest_x8', seed=1),
    'U4_controls': (
        *_members('factor1'),
        *(Member(name, None) for name in ('low_passed', 'jpeg95', 'jpeg75', 'resized')),
    ),
}
NARROW = _members('nearest_x2')  # as the public sets: one generator
WIDE = (*NARROW, *_members('transposed_x2', 'shuffle_x2', seed=1))
TRAINING = {'': NARROW, '_wide': WIDE}  # suffix of the splits train and val
HEADLINE = ('U1_gan_decoders', 'U2_diffusion_decoders')  # tables whose generators must pass the audit


def members():
    """Every generator of the test tables: [(table, Member)]."""
    return [(table, member) for table, found in TABLES.items() for member in found]


def networks():
    """What an edition needs weights of, in tables and training sets: sorted [(design, seed)]."""
    found = (member for part in (*TABLES.values(), *TRAINING.values()) for member in part)
    return sorted({(member.design, member.seed) for member in found if member.design})
