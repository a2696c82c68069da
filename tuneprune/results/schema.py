"""The columns of every results table: types, units, meanings, keys, and versions.

It says what a row is; how rows reach the disk and come back is writer.py and parts.py. A column
states the version that it came with, so a file of an older version can be told and still be read.
"""

import functools
from collections.abc import Sequence

import pyarrow as pa

SCHEMA_VERSION = 6

STATUSES = ("running", "finished", "diverged", "failed", "stopped")
FATES = ("kept", "dropped", "grown")
NEW_GROUPS = ("copy", "split", "random")
MASK_DECISIONS = ("begin", "prune", "adapt")
DECISIONS = (*MASK_DECISIONS, "shrink", "zero_out", "switch")
RESETS = ("nothing", "re_init", "re_rand")
SCOPES = ("model", "block", "module", "group")
CLIENT_ENDS = ("done", "failed", "not_finite")

_I32, _I64, _F64 = pa.int32(), pa.int64(), pa.float64()
_TEXT, _BOOL, _BYTES = pa.string(), pa.bool_(), pa.binary()
_LOSS, _MACS = "nats / encoder frame", "multiply-adds / s of audio"


def _field(
    name: str,
    kind: pa.DataType,
    unit: str,
    meaning: str,
    *,
    null: bool = False,
    allowed: Sequence[str] = (),
    allowed_in_4: Sequence[str] = (),
    since: int = 1,
) -> pa.Field:
    metadata = {"unit": unit, "meaning": meaning, "since": str(since)}
    if allowed:
        metadata["allowed"] = " ".join(allowed)
    if allowed_in_4:
        metadata["allowed_in_4"] = " ".join(allowed_in_4)
    return pa.field(name, kind, nullable=null, metadata=metadata)


_since_2 = functools.partial(_field, since=2)
_since_3 = functools.partial(_field, since=3)
_since_4 = functools.partial(_field, since=4)
_since_5 = functools.partial(_field, since=5)
_since_6 = functools.partial(_field, since=6)

KEY_FIELDS = (
    _field("sweep_id", _TEXT, "name", "the sweep that the trial belongs to"),
    _field("trial_id", _TEXT, "name", "the trial, unique within its sweep"),
    _field("attempt", _I32, "count", "retries of the trial before this one; 0 at first"),
    _field("seed", _I64, "number", "the seed of the run"),
    _field("step", _I64, "steps", "optimizer steps finished when the row was made"),
)

_TRIALS = (
    # A trial that failed or was cut off can not say how far it came.
    _field("step", _I64, "steps", "optimizer steps finished, as far as known"),
    _field("time_s", _F64, "s since 1970", "when the row was written"),
    _field("status", _TEXT, "word", "what became of the trial so far", allowed=STATUSES),
    _field("method", _TEXT, "word", "adaptation method", null=True),
    _field("is_baseline", _BOOL, "", "True: the same run without adaptation, to compare with"),
    _field("settings", _TEXT, "JSON", "searched settings, dotted path to value"),
    _field("config", _TEXT, "JSON", "all settings of the run", null=True),
    _field("params", _I64, "params", "parameters of the model at the end", null=True),
    _field("prunable_params", _I64, "params", "of these, parameters in groups", null=True),
    _field("total_steps", _I64, "steps", "steps that the run was planned for", null=True),
    _field(
        "best_step",
        _I64,
        "steps",
        "step of the lowest dev WER; with subnets, of the lowest mean over all networks",
        null=True,
    ),
    _field("dev_wer", _F64, "fraction", "lowest word error rate on dev", null=True),
    _field("dev_cer", _F64, "fraction", "character error rate on dev at best_step", null=True),
    _field("test_wer", _F64, "fraction", "word error rate on test at best_step", null=True),
    _field("test_cer", _F64, "fraction", "character error rate on test at best_step", null=True),
    _field(
        "train_s", _F64, "s", "wall time of training with its evaluations, all segments", null=True
    ),
    _field("setup_s", _F64, "s", "wall time before the first steps of all segments", null=True),
    _field("reason", _TEXT, "line", "why the trial failed or was stopped", null=True),
    _field("traceback", _TEXT, "text", "the whole report of a failure", null=True),
    _field("checkpoint", _TEXT, "path", "best checkpoint, relative to the sweep", null=True),
    _since_2("multiply_adds_per_s", _I64, _MACS, "cost of the model at the end", null=True),
    _since_2("unrecovered_events", _I32, "events", "events that did not recover", null=True),
    _since_3(
        "executed_steps",
        _I64,
        "steps",
        "steps trained by this trial, some twice if it died",
        null=True,
    ),
    _since_3("shared_from", _TEXT, "name", "trial whose stage it went on from last", null=True),
    _since_3("replicate_of", _TEXT, "name", "trial that it repeats with another seed", null=True),
    _since_3("real_time_factor", _F64, "s / s", "recognition time of dev per audio", null=True),
    _since_3("violated", _TEXT, "text", "constraints that it does not keep", null=True),
    _since_4("dev_language_wer", _F64, "fraction", "mean WER of dev's languages", null=True),
    _since_4("dev_language_cer", _F64, "fraction", "mean CER of dev's languages", null=True),
    _since_4("test_language_wer", _F64, "fraction", "mean WER of test's languages", null=True),
    _since_4("test_language_cer", _F64, "fraction", "mean CER of test's languages", null=True),
    _since_5("dev_subnets_wer", _F64, "fraction", "mean WER of subnets on dev", null=True),
    _since_5("dev_subnets_cer", _F64, "fraction", "mean CER of subnets on dev", null=True),
    _since_5("test_subnets_wer", _F64, "fraction", "mean WER of subnets on test", null=True),
    _since_5("test_subnets_cer", _F64, "fraction", "mean CER of subnets on test", null=True),
)

_STEPS = (
    _field("loss", _F64, _LOSS, "mean loss of a frame since the row before"),
    _field("learning_rate", _F64, "1", "learning rate of this step"),
    _field("grad_norm", _F64, "1", "gradient norm before clipping", null=True),
    _field("step_time_s", _F64, "s / step", "mean wall time since the row before"),
    _field("frames", _I64, "frames", "valid feature frames since the row before"),
    _field("padding_fraction", _F64, "fraction", "share of padded frames since the row before"),
    _field("utterances", _I64, "count", "utterances since the row before"),
)

_SUBNET = _since_5(
    "subnet",
    _I32,
    "modules",
    "modules that the subnet of the row keeps; null: the whole model",
    null=True,
)

_EVALUATIONS = (
    _field("split", _TEXT, "name", "corpus split that was recognised"),
    _field("wer", _F64, "fraction", "word error rate"),
    _field("cer", _F64, "fraction", "character error rate", null=True),
    _field("loss", _F64, _LOSS, "mean loss of a frame", null=True),
    _field("substitutions", _I64, "words", "substituted words"),
    _field("deletions", _I64, "words", "deleted words"),
    _field("insertions", _I64, "words", "inserted words"),
    _field("num_ref_words", _I64, "words", "words in the references"),
    _field("eval_s", _F64, "s", "wall time of the evaluation", null=True),
    _field("epoch", _F64, "epochs", "passes over the training split so far", null=True),
    _since_4("language", _TEXT, "code", "the one language of the row, else null", null=True),
    _SUBNET,
)

_ADAPTATIONS = (
    _field("event", _I32, "index", "adaptation event of the run, from 0"),
    _field("method", _TEXT, "word", "adaptation method"),
    _field("scorer", _TEXT, "word", "importance score that ranked the groups", null=True),
    _field("delta", _F64, "fraction", "share of the prunable parameters to exchange", null=True),
    _field("dropped_groups", _I32, "groups", "groups dropped"),
    _field("grown_groups", _I32, "groups", "groups grown"),
    _field("dropped_params", _I64, "params", "parameters dropped"),
    _field("grown_params", _I64, "params", "parameters grown"),
    _field("params_before", _I64, "params", "parameters of the model before"),
    _field("params_after", _I64, "params", "parameters of the model after"),
    _field("loss_before", _F64, _LOSS, "last training loss before", null=True),
    _field("event_s", _F64, "s", "wall time of the event", null=True),
    _field("plan_fingerprint", _TEXT, "hex", "hash of the plan; one for all ranks"),
    _since_2("new_groups", _TEXT, "word", "how new groups began", null=True, allowed=NEW_GROUPS),
    _since_2("multiply_adds_per_s_before", _I64, _MACS, "cost of the model before", null=True),
    _since_2("multiply_adds_per_s_after", _I64, _MACS, "cost of the model after", null=True),
    _since_4(
        "decision",
        _TEXT,
        "word",
        "what an event of masks or of subnets did",
        null=True,
        allowed=DECISIONS,
        allowed_in_4=MASK_DECISIONS,
    ),
    _since_4("sparsity", _F64, "fraction", "blocks that masks remove from here on", null=True),
    _since_4("language", _TEXT, "code", "whose mask was decided anew; null: all", null=True),
)

_GROUP_SCORES = (
    _field("event", _I32, "index", "adaptation event that the score was for"),
    _field("scorer", _TEXT, "word", "importance score"),
    _field("group_id", _TEXT, "name", "the parameter group, as it was named before the event"),
    _since_2("origin", _TEXT, "name", "the group at step 0 that it is or descends from", null=True),
    _field("layer", _I32, "index", "encoder block, from 0"),
    _field("kind", _TEXT, "word", "module kind"),
    _field("group_index", _I32, "index", "place of the group in its module, from 0"),
    _field("score", _F64, "1", "importance; higher is more important"),
    _field("params", _I64, "params", "parameters of the group"),
    _field("fate", _TEXT, "word", "what the score's plan did with the group", allowed=FATES),
    # Version 1 recorded no other score; its nulls mean True.
    _since_2("applied", _BOOL, "", "True: the event followed this score's plan", null=True),
)

_ALLOCATIONS = (
    _field("layer", _I32, "index", "encoder block, from 0"),
    _field("kind", _TEXT, "word", "module kind"),
    _field("groups", _I32, "groups", "groups of the module from this step on"),
    _field("params", _I64, "params", "parameters of the module from this step on"),
)

_UTTERANCES = (
    _field("split", _TEXT, "name", "corpus split"),
    _field("utterance_id", _TEXT, "name", "the utterance in the corpus"),
    _field("speaker", _TEXT, "name", "who speaks"),
    _field("language", _TEXT, "code", "language of the utterance"),
    _field("reference", _TEXT, "text", "what was said"),
    _field("hypothesis", _TEXT, "text", "what was recognised"),
    _field("num_ref_words", _I32, "words", "words in the reference"),
    _field("substitutions", _I32, "words", "substituted words"),
    _field("deletions", _I32, "words", "deleted words"),
    _field("insertions", _I32, "words", "inserted words"),
    _field("num_ref_chars", _I32, "characters", "characters in the reference"),
    _field("char_errors", _I32, "characters", "characters wrong, missing or too many"),
    _SUBNET,
)

_RECOVERIES = (
    _since_2("event", _I32, "index", "adaptation event that the loss was watched after"),
    _since_2("event_step", _I64, "steps", "optimizer steps finished at the event"),
    _since_2("loss_before", _F64, _LOSS, "mean loss of the window before the event"),
    _since_2("spike_loss", _F64, _LOSS, "highest loss of a step until settled", null=True),
    _since_2("spike_step", _I64, "steps", "optimizer steps finished with it", null=True),
    _since_2("recovered", _BOOL, "", "True: the mean of a later window was as low again"),
    _since_2("recovery_steps", _I64, "steps", "steps from the event until then", null=True),
    _since_2("window_steps", _I32, "steps", "steps of a window"),
    _since_2("step_time_before_s", _F64, "s / step", "mean time in the window before", null=True),
    _since_2("step_time_after_s", _F64, "s / step", "mean time in the last window", null=True),
)

_MASKS = (
    _since_4("event", _I32, "index", "adaptation event of the run, from 0"),
    _since_4("language", _TEXT, "code", "whose mask; null: one mask for all", null=True),
    _since_4(
        "other_language",
        _TEXT,
        "code",
        "a later one in order: the row is of what both keep; null: of one mask",
        null=True,
    ),
    _since_4("matrix", _TEXT, "name", "the masked weight"),
    _since_4("blocks", _I64, "blocks", "blocks of the matrix"),
    _since_4("kept_blocks", _I64, "blocks", "blocks kept; of a pair, by both"),
    _since_4("weights", _I64, "weights", "entries of the matrix"),
    _since_4("kept_weights", _I64, "weights", "entries kept; of a pair, by both"),
    _since_4("revived_blocks", _I64, "blocks", "came back here; null of a pair", null=True),
    _since_4("removed_blocks", _I64, "blocks", "left here; null of a pair", null=True),
    # As structure/mask_bits.py packs them: row by row, eight to a byte, the lowest bit first.
    _since_4("bits", _BYTES, "bits", "the mask of blocks, packed; null of a pair", null=True),
)

_SUBNETS = (
    _since_5("event", _I32, "index", "adaptation event of the run, from 0"),
    _since_5("layer", _I32, "index", "encoder block, from 0"),
    _since_5("kind", _TEXT, "word", "module kind"),
    _since_5("rank", _I32, "index", "place among all modules, from 0, the most important"),
    _since_5("gate", _F64, "1", "how much of it the subnet has by its scores, if any", null=True),
    _since_5(
        "subnet",
        _I32,
        "modules",
        "size of the smallest subnet here that keeps the module; null: the whole model alone does",
        null=True,
    ),
    _since_5("params", _I64, "params", "parameters of the module"),
    _since_5("multiply_adds_per_s", _I64, _MACS, "cost of the module"),
)

_LAYER_RESETS = (
    _since_6("split", _TEXT, "name", "corpus split that was recognised"),
    _since_6("reset", _TEXT, "word", "what parameters were reset to", allowed=RESETS),
    _since_6("scope", _TEXT, "word", "what was reset at once", allowed=SCOPES),
    _since_6("name", _TEXT, "name", "the block, module or group that was reset; model: the model"),
    _since_6("draw", _I32, "index", "fresh draw of re_rand, from 0; 0 of others"),
    _since_6("with_statistics", _BOOL, "", "True: running statistics were reset, too"),
    _since_6("before_event", _BOOL, "", "True: of the model before the event of that step"),
    _since_6("layer", _I32, "index", "encoder block, from 0; null of the model", null=True),
    _since_6("kind", _TEXT, "word", "module kind; null of block and model", null=True),
    _since_6("group_index", _I32, "index", "place of the group in its module", null=True),
    _since_6("origin", _TEXT, "name", "the group at step 0 that it descends from", null=True),
    _since_6("params", _I64, "params", "parameters that were reset"),
    _since_6("wer", _F64, "fraction", "word error rate after the reset"),
    _since_6("wer_low", _F64, "fraction", "lower end of its 95 % interval"),
    _since_6("wer_high", _F64, "fraction", "upper end of it"),
    _since_6("cer", _F64, "fraction", "character error rate after the reset"),
    _since_6("loss", _F64, _LOSS, "mean loss of a frame after the reset", null=True),
    _since_6("increase", _F64, "fraction", "WER less that of the model as it was trained"),
    _since_6("increase_low", _F64, "fraction", "lower end of its 95 % interval"),
    _since_6("increase_high", _F64, "fraction", "upper end of it"),
    _since_6("num_ref_words", _I64, "words", "words in the references"),
)

_CHURN = (
    _since_6("before_event", _BOOL, "", "True: of the model before the event of that step"),
    _since_6("layer", _I32, "index", "encoder block, from 0"),
    _since_6("kind", _TEXT, "word", "module kind"),
    _since_6("tensor", _TEXT, "name", "parameter within the module; null: all of it", null=True),
    _since_6("params", _I64, "params", "parameters compared"),
    _since_6("distance", _F64, "1", "Frobenius norm of what training has added"),
    _since_6("initial_norm", _F64, "1", "Frobenius norm before training"),
    _since_6("churn", _F64, "1", "distance over the largest one of a layer", null=True),
)

_ROUNDS = (
    _since_6("clients", _I32, "clients", "clients whose updates were averaged"),
    _since_6("failed_clients", _I32, "clients", "clients that were left out"),
    _since_6("utterances", _I64, "count", "utterances that the clients trained on"),
    _since_6("model_params", _I64, "params", "parameters of the whole model"),
    _since_6("dropped_params", _F64, "params", "parameters that a client lacked, mean"),
    _since_6("bytes_down", _I64, "bytes", "weights sent to the clients"),
    _since_6("bytes_up", _I64, "bytes", "updates sent back"),
    _since_6("loss", _F64, _LOSS, "mean training loss of the clients", null=True),
    _since_6("update_norm", _F64, "1", "norm of the mean update", null=True),
    _since_6("learning_rate", _F64, "1", "of the server"),
    _since_6("round_s", _F64, "s", "wall time of the round"),
)

_CLIENTS = (
    _since_6("client", _TEXT, "name", "the client"),
    _since_6("end", _TEXT, "word", "what became of its update", allowed=CLIENT_ENDS),
    _since_6("reason", _TEXT, "line", "why it was left out", null=True),
    _since_6("utterances", _I64, "count", "its utterances"),
    _since_6("local_steps", _I32, "steps", "steps that it made", null=True),
    _since_6("dropped_params", _I64, "params", "parameters that it lacked"),
    _since_6("bytes_down", _I64, "bytes", "weights sent to it"),
    _since_6("bytes_up", _I64, "bytes", "updates that it sent back"),
    _since_6("loss", _F64, _LOSS, "its mean training loss", null=True),
    _since_6("update_norm", _F64, "1", "norm of its update", null=True),
    _since_6("client_s", _F64, "s", "wall time of its training", null=True),
)

# What one attempt writes at one time. The highest attempt that wrote such a unit owns all of it,
# so two attempts never mix inside one event or one allocation.
UNIT_KEYS: dict[str, tuple[str, ...]] = {
    "trials": ("sweep_id", "trial_id"),
    "steps": ("sweep_id", "trial_id", "step"),
    "evaluations": ("sweep_id", "trial_id", "step", "split"),
    "adaptations": ("sweep_id", "trial_id", "step", "event"),
    "group_scores": ("sweep_id", "trial_id", "step", "event", "scorer"),
    "allocations": ("sweep_id", "trial_id", "step"),
    "utterances": ("sweep_id", "trial_id", "step", "split", "utterance_id"),
    "recoveries": ("sweep_id", "trial_id", "event"),
    "masks": ("sweep_id", "trial_id", "step", "event"),
    "subnets": ("sweep_id", "trial_id", "step", "event"),
    "layer_resets": (
        *("sweep_id", "trial_id", "step", "split", "reset", "scope", "name", "draw"),
        *("with_statistics", "before_event"),
    ),
    "churn": ("sweep_id", "trial_id", "step", "before_event"),
    "rounds": ("sweep_id", "trial_id", "step"),
    "clients": ("sweep_id", "trial_id", "step"),
}

# What tells the rows of a unit apart; also the order in which a reader gets them.
ROW_KEYS: dict[str, tuple[str, ...]] = {
    **UNIT_KEYS,
    "evaluations": (*UNIT_KEYS["evaluations"], "language", "subnet"),
    "utterances": (*UNIT_KEYS["utterances"], "subnet"),
    "group_scores": (*UNIT_KEYS["group_scores"], "layer", "kind", "group_index", "group_id"),
    "allocations": (*UNIT_KEYS["allocations"], "layer", "kind"),
    "masks": (*UNIT_KEYS["masks"], "language", "other_language", "matrix"),
    "subnets": (*UNIT_KEYS["subnets"], "layer", "kind"),
    "churn": (*UNIT_KEYS["churn"], "layer", "kind", "tensor"),
    "clients": (*UNIT_KEYS["clients"], "client"),
}


def _schema(table: str, fields: Sequence[pa.Field]) -> pa.Schema:
    metadata = {"tuneprune_results_version": str(SCHEMA_VERSION), "tuneprune_table": table}
    known = {field.name: field for field in (*KEY_FIELDS, *fields)}  # a table may restate a key
    return pa.schema(known.values(), metadata=metadata)


TABLES: dict[str, pa.Schema] = {
    "trials": _schema("trials", _TRIALS),
    "steps": _schema("steps", _STEPS),
    "evaluations": _schema("evaluations", _EVALUATIONS),
    "adaptations": _schema("adaptations", _ADAPTATIONS),
    "group_scores": _schema("group_scores", _GROUP_SCORES),
    "allocations": _schema("allocations", _ALLOCATIONS),
    "utterances": _schema("utterances", _UTTERANCES),
    "recoveries": _schema("recoveries", _RECOVERIES),
    "masks": _schema("masks", _MASKS),
    "subnets": _schema("subnets", _SUBNETS),
    "layer_resets": _schema("layer_resets", _LAYER_RESETS),
    "churn": _schema("churn", _CHURN),
    "rounds": _schema("rounds", _ROUNDS),
    "clients": _schema("clients", _CLIENTS),
}


def schema_version(schema: pa.Schema) -> int | None:
    """Return the version of tuneprune's results that a file states, None where it states none."""
    text = (schema.metadata or {}).get(b"tuneprune_results_version", b"")
    return int(text) if text.isdigit() else None


@functools.cache
def published_schema(table: str, version: int) -> pa.Schema | None:
    """Return the columns of ``table`` as ``version`` had them, None where it had no such table."""
    fields = [one for one in TABLES[table] if int(field_note(one, "since")) <= version]
    if {field.name for field in fields} <= {field.name for field in KEY_FIELDS}:
        return None
    return pa.schema(fields)


def describe_schema(version: int = SCHEMA_VERSION) -> str:
    """Return a version's contract with readers as text: one line for a table, one for a column."""
    lines = [f"version {version}"]
    for table in TABLES:
        schema = published_schema(table, version)
        if schema is not None:
            keys = [name for name in ROW_KEYS[table] if name in schema.names]
            lines += ["", f"{table}: one row for each {', '.join(keys)}"]
            lines += [f"  {_describe_field(field, version)}" for field in schema]
    return "\n".join(lines) + "\n"


def field_note(field: pa.Field, key: str) -> str:
    """Return a column's ``unit``, ``meaning``, ``allowed`` words or first version (``since``)."""
    return str((field.metadata or {}).get(key.encode(), b"").decode())


def _describe_field(field: pa.Field, version: int) -> str:
    null = "or null" if field.nullable else ""
    parts = (f"{field.name:16} {field.type!s:7}", f"{null:8}", field_note(field, "unit"))
    fewer = field_note(field, "allowed_in_4") if version <= 4 else ""
    return " ".join((*parts, fewer or field_note(field, "allowed"))).rstrip()
