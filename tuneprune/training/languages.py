"""What was recognised of each language, and the mean over languages, in which each counts alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tuneprune.training.wer import (
    UtteranceErrors,
    character_error_rate,
    sum_errors,
    word_error_rate,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageErrors:
    """Errors of all utterances of a language, summed."""

    language: str
    errors: UtteranceErrors

    @property
    def wer(self) -> float:
        return word_error_rate([self.errors])

    @property
    def cer(self) -> float:
        return character_error_rate([self.errors])


def errors_by_language(
    errors: Sequence[UtteranceErrors], languages: Sequence[str]
) -> tuple[LanguageErrors, ...]:
    """Return the errors of each language, by name.

    Args:
        errors: of the utterances.
        languages: of the same utterances.
    """
    of_language: dict[str, list[UtteranceErrors]] = {}
    for one, language in zip(errors, languages, strict=True):
        of_language.setdefault(language, []).append(one)
    return tuple(
        LanguageErrors(language=language, errors=sum_errors(of_language[language]))
        for language in sorted(of_language)
    )


def mean_wer(by_language: Sequence[LanguageErrors]) -> float:
    """Return the mean of the languages' word error rates, however much is said in each."""
    return fmean(one.wer for one in by_language)


def mean_cer(by_language: Sequence[LanguageErrors]) -> float:
    """Return the mean of the languages' character error rates, however much is said in each."""
    return fmean(one.cer for one in by_language)
