"""Generators of the public tables that are related: one model with other settings, or one architecture's versions.

Their results are not independent, so statistics over generators treat a cluster as one unit.
"""

CLUSTERS = {
    'pixel diffusion': ('adm', 'ddpm', 'guided', 'guided-diffusion', 'iddpm', 'improved-diffusion'),
    'latent diffusion': ('ldm', 'ldm_100', 'ldm_200', 'ldm_200_cfg'),
    'stable diffusion': ('sdv1_new', 'sdv2'),
    'glide': ('glide_100_10', 'glide_100_27', 'glide_50_27'),
    'dalle': ('dalle', 'DALLE'),
    'stylegan': ('stylegan', 'stylegan2'),
}


def cluster_of(generator):
    """The cluster of a generator; one that is in no cluster is a cluster of its own."""
    return next((name for name, members in CLUSTERS.items() if generator in members), generator)
