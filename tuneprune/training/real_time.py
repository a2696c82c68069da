"""How long a model takes for a second of speech on this machine, by measuring it.

Shapes: B utterances, T frames, F mel bins.
"""

import time

import torch

from tuneprune.config import RunConfig
from tuneprune.models.speech_model import SpeechModel
from tuneprune.training.step import autocast

UTTERANCES = 4
UTTERANCE_S = 10
FEWEST = 5
"""Repetitions, however long they take."""
AT_LEAST_S = 0.5
"""What repetitions take together, however many that are."""
_SEED = 0


@torch.inference_mode()
def real_time_factor(model: SpeechModel, config: RunConfig) -> float:
    """Return seconds of recognition for a second of speech: the least of many repetitions.

    A repetition encodes and decodes one batch of made-up features, the same at every call, in
    the precision of the run; one before them does not count. Making features of audio is no part.
    What else the machine does can only make a repetition longer, so the shortest one says most of
    the model. There are ``FEWEST`` or more, for ``AT_LEAST_S`` or longer: a few of some ms each
    may all fall into one slice of other work.

    Args:
        model: in evaluation mode.
        config: of its features and its precision.
    """
    frames = round(UTTERANCE_S * 1000 / config.features.hop_ms)
    generator = torch.Generator().manual_seed(_SEED)
    shape = (UTTERANCES, frames, config.features.num_bins)
    device = next(model.parameters()).device
    features_BTF = torch.randn(shape, generator=generator).to(device)
    num_frames_B = torch.full((UTTERANCES,), frames, device=device)
    taken_s: list[float] = []
    while len(taken_s) < 1 + FEWEST or sum(taken_s[1:]) < AT_LEAST_S:
        began = time.perf_counter()
        with autocast(device, config.training.precision):
            model.decode(*model(features_BTF, num_frames_B))
        taken_s.append(time.perf_counter() - began)
    return min(taken_s[1:]) / (UTTERANCES * UTTERANCE_S)


def how_measured(config: RunConfig) -> str:
    """Return in words what `real_time_factor` measures, with the threads that it does it on."""
    threads = torch.get_num_threads()
    on = f"{threads} thread{'' if threads == 1 else 's'}"
    return (
        f"{UTTERANCES} x {UTTERANCE_S} s of made-up features, {config.training.precision}, "
        f"{on}, least of {FEWEST} or more in {AT_LEAST_S:g} s"
    )
