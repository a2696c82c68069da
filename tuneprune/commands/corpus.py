"""Commands that import, make and check corpora."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tuneprune.commands.options import Overrides, width
from tuneprune.errors import CorpusError

app = typer.Typer(help="Import, make and check corpora.", no_args_is_help=True)


@app.command("import")
def import_(
    manifests: Annotated[
        list[Path], typer.Argument(help="JSON lines, one utterance a line; one file or several.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    licence: Annotated[str, typer.Option(help="Under which the recordings may be used.")] = "",
) -> None:
    """Make one corpus of the recordings that manifests name; they stay where they are."""
    from tuneprune.data.recipes import import_manifests
    from tuneprune.show import corpus_table

    Console(width=width()).print(corpus_table(import_manifests(manifests, out, licence=licence)))


@app.command("check")
def check(path: Annotated[Path, typer.Argument(help="Folder of a corpus.")]) -> None:
    """Name every utterance that training could not use."""
    from rich.progress import Progress

    from tuneprune.data.checks import check_corpus
    from tuneprune.data.corpus import open_corpus
    from tuneprune.show import corpus_table

    corpus = open_corpus(path)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading recordings")
        findings = check_corpus(
            corpus, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    for finding in findings:
        print(f"{finding.utterance_id}: {finding.problem} {finding.detail}".rstrip())
    if findings:
        unfit = len({finding.utterance_id for finding in findings})
        raise CorpusError(
            "corpus", path, f"{unfit} of {corpus.table.num_rows} utterances are unfit for training"
        )
    Console(width=width()).print(corpus_table(corpus))


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML with synthesis settings, or a run or space with them.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Make a spoken corpus with espeak-ng; the same settings give the same bytes."""
    from tuneprune.data.synthesis import read_synthesis_config, synthesise
    from tuneprune.show import corpus_table

    corpus = synthesise(read_synthesis_config(config, overrides or ()), out)
    Console(width=width()).print(corpus_table(corpus))
