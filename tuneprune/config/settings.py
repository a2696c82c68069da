"""What all settings share: they are frozen, and an unknown key is refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
AtLeastOne = Annotated[float, Field(ge=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]


class Settings(BaseModel):
    """Settings that never change once they are checked; a key that is unknown is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
