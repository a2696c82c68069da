"""The tables of sweeps as they are on disk: read when asked for, settled, and open to SQL.

It reads only, and knows no question; those are in reader.py.
"""

import difflib
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.folders import Folder, folder_at
from tuneprune.results.parts import TableFiles, find_sweeps
from tuneprune.results.schema import TABLES
from tuneprune.results.settings import configured_values, searched_names, with_settings
from tuneprune.results.settle import settle


class SweepTables:
    """The tables of one sweep or of several.

    Every call looks at the folder again and reads only the files that are new, so one object
    follows a running sweep. Rows are settled: one for each key, the highest attempt's.

    Args:
        place: the folder.
    """

    def __init__(self, place: str | Path | Folder) -> None:
        self._folder = folder_at(place)
        self._files: dict[str, dict[str, TableFiles]] = {table: {} for table in TABLES}
        self._settled: dict[str, tuple[list[pa.Table], pa.Table]] = {}
        self._typed: tuple[pa.Table, pa.Table] | None = None

    @property
    def path(self) -> Path:
        """The folder of the sweep, or of the sweeps.

        Raises:
            ResultsError: they do not lie on this machine's file system.
        """
        if self._folder.path is None:
            raise ResultsError("results", str(self._folder), "must be a local folder for this")
        return self._folder.path

    @property
    def folder(self) -> Folder:
        """The folder of the sweep, or of the sweeps, wherever it lies."""
        return self._folder

    @property
    def warnings(self) -> list[str]:
        """One line for each file that was skipped when its table was last read."""
        problems = {
            name if where == str(self._folder) else f"{one.folder.name}/{name}": problem
            for files in self._files.values()
            for where, one in files.items()
            for name, problem in one.problems.items()
            if one.folder.exists()
        }
        return [f"{name}: skipped, {problems[name]}" for name in sorted(problems)]

    def table(self, name: str) -> pa.Table:
        """Return all rows of a table, sorted by sweep, trial, step and the table's own keys.

        Raises:
            ResultsError: there is no such table, or a newer version of tuneprune wrote it.
        """
        raw = [files.read() for files in self._files_of(name)]
        # A read returns the same object until there is news.
        if name not in self._settled or not _same_objects(self._settled[name][0], raw):
            rows = pa.concat_tables([TABLES[name].empty_table(), *raw])
            self._settled[name] = (raw, settle(name, rows))
        return self._settled[name][1]

    def trials(self) -> pa.Table:
        """Return the latest row of every trial, then its searched settings as typed columns.

        ``step`` is how many optimizer steps a trial has finished as far as is known: 0 for a trial
        that runs, failed or was cut off; ``steps`` and ``evaluations`` know better.
        """
        rows = self.table("trials")
        if self._typed is None or self._typed[0] is not rows:
            self._typed = (rows, with_settings(rows))
        return self._typed[1]

    def searched(self) -> list[str]:
        """Return the dotted paths of the searched settings; each is a column of ``trials()``."""
        return searched_names(self.table("trials"))

    def split_name(self, role: Literal["dev", "test"]) -> str:
        """Return what the trials' own settings call the split that is their dev or test split.

        Raises:
            ResultsError: they name none, or several.
        """
        field = f"corpus.{role}_split"
        names = configured_values(self.table("trials"), field)
        if len(names) != 1:
            found = ", ".join(map(str, names)) or "none"
            raise ResultsError(field, found, "the trials must agree on one split; name it")
        return str(names[0])

    def sql(self, query: str) -> pa.Table:
        """Answer a query in DuckDB's SQL over the tables, without copying them.

        ``trials`` has its typed settings; a dotted name is quoted: ``"adaptation.delta"``. A column
        of the answer that is named like one before it is called ``NAME_1``, ``NAME_2``, ...

        Raises:
            ResultsError: DuckDB refuses the query, or it returns no rows by its kind.
        """
        before = self._names_in(query)
        try:
            return self._answer(query, lazily=True)
        except (ResultsError, OSError):
            if before == self._names_in(query):
                raise
            return self._answer(query, lazily=False)  # a file was compacted before it was read

    def _names_in(self, query: str) -> list[list[str]]:
        """Return the names of the files of all tables that a query names."""
        named = [name for name in TABLES if name in query.lower()]
        return [files.names() for name in named for files in self._files_of(name)]

    def _answer(self, query: str, *, lazily: bool) -> pa.Table:
        import duckdb

        # Off: else a wrong table name could be found among the Python variables of this frame.
        with duckdb.connect(config={"python_enable_replacements": "false"}) as database:
            for name in TABLES:
                if name in query.lower():
                    database.register(name, self._for_queries(name, lazily=lazily))
            try:
                answer = database.sql(query)
                if answer is not None:
                    rows = answer.to_arrow_table()
                    return rows.rename_columns(_distinct(rows.column_names))
            except duckdb.Error as error:
                message = str(error)
                if "Table with name" in message:  # below, DuckDB proposes tables of its own
                    message = f"{message.splitlines()[0]} tables: {', '.join(TABLES)}"
                raise ResultsError("query", query, message) from None
        raise ResultsError("query", query, "must be a query that returns rows")

    def _for_queries(self, table: str, *, lazily: bool) -> Any:
        """Return a table for DuckDB: from one Parquet file it reads by itself what it needs."""
        if table == "trials":
            return self.trials()
        files = self._files_of(table)
        whole = files[0].settled_file() if lazily and len(files) == 1 else None
        return self.table(table) if whole is None else whole

    def rows_of(self, table: str, trial: str | None) -> pa.Table:
        """Return the rows of a table, of one trial or of all.

        Raises:
            ResultsError: there is no such table or trial, or several trials of that name.
        """
        if trial is None:
            return self.table(table)
        sweep = self._sweep_of(trial)
        raw = [files.read_trial(trial) for files in self._files_of(table)]
        rows = settle(table, pa.concat_tables([TABLES[table].empty_table(), *raw]))
        return rows.filter(pc.equal(rows["sweep_id"], sweep))

    def _files_of(self, table: str) -> list[TableFiles]:
        """Return the files of a table, of every sweep."""
        if table not in TABLES:
            raise ResultsError("table", table, f"must be one of {', '.join(TABLES)}")
        sweeps = {str(sweep): sweep for sweep in find_sweeps(self._folder)}
        known = self._files[table]
        return [known.setdefault(at, TableFiles(sweep, table)) for at, sweep in sweeps.items()]

    def _sweep_of(self, trial: str) -> str:
        """Return the sweep that a trial is of; refuse one that is of none, or of several."""
        trials = self.table("trials")
        found = trials.filter(pc.equal(trials["trial_id"], trial))["sweep_id"].to_pylist()
        if not found:
            names = sorted(set(trials["trial_id"].to_pylist()))
            raise ResultsError("trial", trial, _nearest(trial, names))
        if len(found) > 1:
            remedy = f"is in several sweeps ({', '.join(found)}); open one of them"
            raise ResultsError("trial", trial, remedy)
        return str(found[0])


def _distinct(names: Sequence[str]) -> list[str]:
    """Return ``names`` with a number added to each that was there before."""
    distinct: list[str] = []
    for name in names:
        number, free = 0, name
        while free in distinct:
            number += 1
            free = f"{name}_{number}"
        distinct.append(free)
    return distinct


def _same_objects(before: Sequence[pa.Table], now: Sequence[pa.Table]) -> bool:
    return len(before) == len(now) and all(map(operator.is_, before, now))


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"{len(names)} trials are there"
    return f"is not a trial of these results; {hint}"
