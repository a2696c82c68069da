"""The picture of error against size: supernets with their subnets, and models of their own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuneprune.results.plots import figures
from tuneprune.results.plots.size_rows import ACROSS, METRICS, Network, Setting, sizes_of_settings
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import MarkerType

_RATES = {"wer": "word error rate", "cer": "character error rate"}
_ENTRY_IN = 0.22  # inches of a line of the legend
_APART, _MOST_APART = 4.0, 24.0  # points between settings, and between the first and the last
_SIZES = {"params": "parameters", "multiply_adds_per_s": "multiply-adds / s of audio"}


def size_picture(
    results: Results,
    *,
    others: Sequence[Results] = (),
    metric: str = METRICS[0],
    x: str = ACROSS[0],
) -> "Figure":
    """Return a picture of the error rate of every finished network over its size.

    Seeds of a setting are small points; the mark is of all seeds together, with its 95 % interval.
    A line joins a whole model with its subnets; a setting without subnets has its mark alone.

    Args:
        results: one sweep.
        others: more sweeps to draw beside it.
        metric: an error rate on test or dev.
        x: parameters, or multiply-adds for a second of audio.

    Raises:
        ResultsError: as ``size_rows.sizes_of_settings``.
    """
    settings = sizes_of_settings([results, *others], metric=metric, x=x)
    # Last is on top: what is searched for stands before what it is compared with.
    settings = sorted(settings, key=lambda one: (not one.is_baseline, len(one.networks)))
    figure = figures.make_figure(7.2, 3.6 + _ENTRY_IN * len(settings))
    axes = figure.add_subplot()
    figures.calm_axes(axes)
    axes.grid(axis="x", color=figures.GRID, linewidth=0.8)
    entries: list[Artist] = []
    looks = _looks(settings)
    for place, (setting, (colour, marker)) in enumerate(zip(settings, looks, strict=True)):
        aside = (place - (len(settings) - 1) / 2) * min(_APART, _MOST_APART / len(settings))
        entries.append(_draw(axes, setting, colour=colour, marker=marker, aside_points=aside))
    role, _, rate = metric.partition("_")
    _label_axes(axes, f"{_RATES[rate]} on {role} (%)", _SIZES[x])
    drawn = " and ".join(sorted({f"{net.by}s" for one in settings for net in one.networks}))
    figures.set_title(
        figure,
        f"{_RATES[rate].capitalize()} on {role} over size: supernets with their subnets, "
        f"{figures.counted(len(settings), 'setting')}",
        f"a line joins a whole model and its subnets; a bar is the 95 % interval by bootstrap over "
        f"{drawn}, a small point one of several seeds; settings stand a little apart sideways",
    )
    figures.legend_below(figure, entries)
    return figure


def _label_axes(axes: "Axes", up: str, across: str) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.margins(0.09)


def _looks(settings: Sequence[Setting]) -> list[tuple[str, "MarkerType"]]:
    """Return colour and shape of each setting; baselines are as in the other pictures."""
    others = [setting for setting in settings if not setting.is_baseline]
    of_others = {id(setting): figures.category(place) for place, setting in enumerate(others)}
    return [of_others.get(id(setting), (figures.BLACK, "D")) for setting in settings]


def _draw(
    axes: "Axes", setting: Setting, *, colour: str, marker: "MarkerType", aside_points: float
) -> "Artist":
    """Draw the networks of a setting; return its entry of the legend."""
    from matplotlib.transforms import ScaledTranslation

    networks = setting.networks
    lines = axes.plot(
        [network.size for network in networks], [100 * network.rate for network in networks],
        linestyle="-" if len(networks) > 1 else "none", linewidth=1.4, color=colour, marker=marker,
        ms=6, label=_entry(setting, networks[0]), zorder=4,
    )  # fmt: skip
    for network in networks:
        lines += axes.plot(
            [network.size] * 2, [100 * network.low, 100 * network.high], "-", color=colour,
            linewidth=1.4, alpha=0.7, zorder=3,
        )  # fmt: skip
        if len(network.rates) > 1:
            lines += axes.plot(
                list(network.sizes), [100 * rate for rate in network.rates], ".", color=colour,
                ms=4, alpha=0.6, zorder=3,
            )  # fmt: skip
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes of a picture"
    aside = axes.transData + ScaledTranslation(aside_points / 72, 0, figure.dpi_scale_trans)
    for line in lines:  # only now: lines that are plotted with another transform set no limits
        line.set_transform(aside)
    return lines[0]


def _entry(setting: Setting, whole: Network) -> str:
    seeds = figures.counted(len(whole.rates), "seed")
    return f"{setting.label} ({seeds})"
