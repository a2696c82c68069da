"""Settings of frame stacking inside an encoder."""

from pydantic import Field

from tuneprune.config.settings import Settings


class StackingConfig(Settings):
    """Frames of the encoder that are joined on the way, so that later blocks see fewer of them.

    After ``after_block`` blocks, ``factor`` neighbouring frames are laid side by side, mapped back
    to ``d_model`` and normed. Zeros fill up the last frame of an utterance: none is lost.
    """

    after_block: int = Field(ge=1, description="blocks before the stack; below num_blocks")
    factor: int = Field(2, ge=2)
