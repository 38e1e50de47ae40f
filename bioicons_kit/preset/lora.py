"""What a preset says about the adapter: [lora] and [[lora.parts]]."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bioicons_kit.preset.values import Pattern, Plain, Table, Text, refuse, tables, words

Rank = Annotated[int, Field(ge=1, le=512)]
Alpha = Annotated[float, Field(gt=0, le=4096)]


class Part(Table):
    """Some of the modules, with settings of their own: one [[lora.parts]] table."""

    modules: Pattern = Field(
        description="Regular expression; it is for the modules with an adapter whose whole name "
        "matches. Of several tables the first that matches counts."
    )
    rank: Rank | None = Field(None, description="Rank of their updates; lora.rank if absent.")
    alpha: Alpha | None = Field(
        None, description="Their alpha; if absent lora.alpha, or without that, their rank."
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="Their highest learning rate; train.learning_rate if absent."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.rank is None and self.alpha is None and self.learning_rate is None:
            raise refuse("says nothing of its modules: give rank, alpha or learning_rate")
        return self


class Lora(Table):
    """The adapter that is trained."""

    rank: Rank = Field(16, description="Rank of the update matrices.")
    alpha: Alpha | None = Field(
        None, description="The update is scaled by alpha / rank; the rank if absent."
    )
    dropout: float = Field(
        0.0, ge=0, le=0.9, description="Share of the adapter's inputs that is dropped in training."
    )
    targets: Annotated[
        tuple[Pattern, ...],
        BeforeValidator(
            words, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]
        ),
    ] = Field(
        ("attention",),
        min_length=1,
        description='Modules that get an adapter: named sets ("attention", "feed_forward", "all", '
        'and "style", the late blocks only, which is faster) or regular expressions on module '
        "names.",
    )
    parts: Annotated[
        tuple[Part, ...], BeforeValidator(tables, json_schema_input_type=list[Part])
    ] = Field((), description="Ranks and learning rates of some of the modules.")
    rslora: bool = Field(
        False, description="Scale updates by alpha / sqrt(rank), so that alpha suits every rank."
    )
    dora: bool = Field(
        False,
        description="Learn each weight row's magnitude apart from its direction (DoRA); takes "
        'memory.quantization = "none".',
    )
    plus: float | None = Field(
        None,
        gt=1,
        le=128,
        description="LoRA+: how many times faster the up matrices learn than the down matrices, "
        "16 in the paper; as fast if absent.",
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="What an exponential moving average of the adapter keeps of itself in a step, "
        "for example 0.999; 0 keeps no average.",
    )
    start: Plain | None = Field(
        None,
        description="LoRA file, of any layout, to go on from; its modules must be among the "
        "targets. Relative paths start at the preset.",
    )
    start_ranks: Literal["refuse", "resize"] | None = Field(
        None,
        description="What to do where the file's rank is another: refuse it, or resize (a smaller "
        "rank keeps the largest parts, a larger one all); refuse if absent.",
    )

    @model_validator(mode="after")
    def _applies(self) -> Self:
        if self.rslora and self.alpha is None:
            raise refuse(
                "rslora needs alpha: the update is scaled by alpha / sqrt(rank), and a default of "
                "the rank would grow with it; set alpha, for example 16 at a rank of 256",
                *("rslora", "alpha"),
            )
        if self.start_ranks is not None and self.start is None:
            raise refuse(
                "start_ranks cannot apply without start; remove start_ranks",
                *("start_ranks", "start"),
            )
        return self
