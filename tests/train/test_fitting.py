"""Before anything is loaded: what a run will hold, what fits a card, and what cannot."""

from pathlib import Path

import pytest
import torch

from bioicons_kit import preset_file
from bioicons_kit.errors import PresetError, TrainingError
from bioicons_kit.families import flux_blueprint
from bioicons_kit.memory import plan
from bioicons_kit.memory.fit import Room
from bioicons_kit.memory.plan import GIB
from bioicons_kit.preset import Memory, Preset
from bioicons_kit.train import fitting, peaks, planning

REPOSITORY = Path(__file__).parent.parent.parent
CPU = torch.device("cpu")


def preset(*overrides: str, name: str = "cc0_animals_12gb") -> Preset:
    return preset_file.load(REPOSITORY / "presets" / f"{name}.toml", overrides)


@pytest.fixture(scope="module")
def twelve() -> planning.Planner:
    """The planner of the 12 GB preset; its probes are kept."""
    return planning.Planner(preset())


def gib(planner: planning.Planner, **settings: object) -> float:
    """Return what training takes, in GiB."""
    memory = Memory.model_validate(settings)
    return planner.training(memory) / GIB


def test_the_real_model_is_what_its_makers_say(twelve: planning.Planner):
    """At 1024 px, batch 1, rank 16: predictions for FLUX.1-dev, no weights at hand."""
    step = twelve.at(Memory(quantization="none"), (1024, 1024)).step
    assert len(step.blocks) == 57
    assert step.weights == 11_901_408_320 * 2
    assert step.modulation_weights == (3_228_567_552 + 18_880_512) * 2
    assert plan.flops(step, plan.Layout()) / 1e12 == pytest.approx(223, rel=0.02)
    assert gib(twelve, quantization="none", modulation="ahead") < 22.8
    assert gib(twelve) < 15.0
    assert gib(twelve, modulation="ahead", offload_blocks=6) < 11.0


def test_every_phase_of_the_preset_fits_its_card(twelve: planning.Planner):
    planned = twelve.plan(preset().memory)
    assert [phase.name for phase in planned.phases] == [
        "texts",
        "pictures",
        "load",
        "train 1024 x 1024",
        "sample",
        "save",
    ]
    assert planned.largest.device <= plan.usable(12)
    assert planned.host < 16 * GIB
    assert planned.notes  # the model is not here, and that is said


def test_the_real_model_fits_a_card_of_16_gb():
    made, planned = fitting.fitted(preset("memory.fit=16GB", name="cc0_animals"), CPU, 1)
    assert planned is not None
    assert planned.largest.device <= 0.95 * 15 * GIB  # what is gained by more is not worth it
    assert made.memory.quantization in ("none", "qfloat8")


@pytest.fixture
def six_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLUX.1-dev's widths with six blocks, which are probed ten times as fast."""
    shorter = {**flux_blueprint.TRANSFORMER, "num_layers": 2, "num_single_layers": 4}
    monkeypatch.setattr(flux_blueprint, "TRANSFORMER", shorter)
    monkeypatch.setattr(flux_blueprint, "T5", {**flux_blueprint.T5, "num_layers": 2})


@pytest.mark.usefixtures("six_blocks")
@pytest.mark.parametrize("card", ["4.2GB", "6GB", "12GB"])
def test_a_card_gets_settings_that_fit_it(card: str):
    given = preset(f"memory.fit={card}", name="cc0_animals")
    made, planned = fitting.fitted(given, CPU, 1)
    assert planned is not None
    assert planned.largest.device <= plan.usable(float(card[:-2]))
    assert made.memory.dtype == "bf16"
    assert made.memory.fit == card
    assert isinstance(made.memory.checkpointing, str | int)
    assert preset_file.dumps(made)  # what a run leaves behind says what it chose
    assert fitting.free_keys(made) == frozenset()


@pytest.mark.usefixtures("six_blocks")
def test_what_the_preset_says_wins():
    given = preset("memory.fit=6GB", "memory.quantization=qint8", "memory.modulation=resident",
                   "memory.offload_blocks=0", name="cc0_animals")  # fmt: skip
    made, _ = fitting.fitted(given, CPU, 1)
    assert (made.memory.quantization, made.memory.modulation) == ("qint8", "resident")
    assert made.memory.offload_blocks == 0
    assert made.memory.checkpointing not in ("full", "auto")


@pytest.mark.usefixtures("six_blocks")
def test_modulation_that_is_trained_is_not_computed_ahead():
    given = preset("memory.fit=7GB", 'lora.targets=["all"]', name="cc0_animals")
    made, _ = fitting.fitted(given, CPU, 1)
    assert made.memory.modulation == "resident"


@pytest.mark.usefixtures("six_blocks")
def test_dora_keeps_its_blocks_on_the_device():
    tight = ("memory.fit=4.2GB", "memory.quantization=none", "memory.modulation=resident")
    made, _ = fitting.fitted(preset(*tight, name="cc0_animals"), CPU, 1)
    assert made.memory.offload_blocks > 0
    with pytest.raises(TrainingError, match="the run does not fit"):
        fitting.fitted(preset(*tight, "lora.dora=true", name="cc0_animals"), CPU, 1)


@pytest.mark.usefixtures("six_blocks")
def test_a_run_that_cannot_fit_is_refused_with_what_would_make_it():
    given = preset("memory.fit=4.2GB", "memory.quantization=none", "memory.offload_blocks=0",
                   "memory.modulation=resident", name="cc0_animals")  # fmt: skip
    with pytest.raises(TrainingError) as refused:
        fitting.fitted(given, CPU, 1)
    text = str(refused.value)
    assert text.startswith("the run does not fit: training at 1024 px needs 3.4")
    assert "there are 3.20 GiB; it would fit with memory." in text
    assert 'memory.modulation = "ahead"' in text
    assert "\n" not in text


@pytest.mark.usefixtures("six_blocks")
def test_where_no_setting_helps_a_smaller_run_is_named():
    given = preset("memory.fit=4.2GB", "train.batch_size=16", name="cc0_animals")
    with pytest.raises(TrainingError, match=r"it would fit with .*(batch_size = 1|resolution = )"):
        fitting.fitted(given, CPU, 1)


@pytest.mark.usefixtures("six_blocks")
@pytest.mark.parametrize(("ram", "is_told"), [(2, True), (64, False)])
def test_on_a_cpu_card_and_host_share_the_memory(
    ram: int, is_told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(fitting, "host_memory", lambda: ram * GIB)
    given = preset("memory.fit=12GB", "memory.checkpoint_inputs=device", "memory.offload_blocks=0")
    fitting.fitted(given, CPU, 1)
    told = capsys.readouterr()
    assert ("on a CPU all of it is in RAM" in told.out + told.err) == is_told


def test_auto_needs_a_gpu_or_a_name():
    for override in ("memory.fit=auto", "memory.checkpointing=auto"):
        with pytest.raises(PresetError, match=r'name a card, such as memory.fit = "16GB"'):
            fitting.fitted(preset(override), CPU, 1)


def test_without_a_gpu_and_without_a_wish_nothing_is_planned():
    given = preset()
    assert fitting.fitted(given, CPU, 1) == (given, None)


def test_a_plan_leaves_the_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fitting.planned(preset(), Room(plan.usable(12), 10**12))
    assert torch.equal(before, torch.get_rng_state())


def test_the_host_memory_is_told():
    assert fitting.host_memory() > GIB


class TestPeaks:
    """One line where memory ran out."""

    def plan(self) -> plan.Plan:
        phases = (
            plan.Phase("load", {"weights": 8 * GIB}, GIB),
            plan.Phase("train 512 x 512", {"weights": 8 * GIB, "activations": GIB}, GIB),
            plan.Phase("train 1024 x 1024", {"weights": 8 * GIB, "activations": 3 * GIB}, GIB),
        )
        return plan.Plan("p", phases)

    @pytest.mark.parametrize(
        ("overrides", "advice"),
        [
            (("memory.checkpointing=none", "memory.offload_blocks=0"), 'checkpointing = "full"'),
            (("memory.modulation=resident",), 'modulation = "ahead"'),
            (("memory.quantization=none",), 'quantization = "qfloat8"'),
            (("train.batch_size=4",), "train.batch_size = 1"),
            (("memory.offload_blocks=0",), "offload_blocks = 12"),
            ((), "a higher memory.offload_blocks"),
        ],
    )
    def test_it_names_the_plan_and_the_setting_to_change(
        self, overrides: tuple[str, ...], advice: str
    ):
        with (
            pytest.raises(TrainingError) as refused,
            peaks.watched("train", self.plan(), preset(*overrides), CPU),
        ):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        text = str(refused.value)
        assert text.startswith("train: the GPU has not enough memory (planned: 11.00 GiB: weights")
        assert "activations 3.00 GiB" in text
        assert advice in text
        assert "\n" not in text

    def test_without_a_plan_it_still_helps(self):
        text = peaks.exhausted("train", None, preset())
        assert "planned" not in text
        assert "memory.fit" in text

    def test_other_errors_pass(self):
        with pytest.raises(ZeroDivisionError), peaks.watched("train", None, preset(), CPU):
            raise ZeroDivisionError

    def test_what_was_held_stands_beside_what_was_planned(self):
        (_, _, phase) = self.plan().phases
        assert peaks.beside(12 * GIB, phase) == "peak 12.00 GiB, planned 11.00 GiB (+9%)"
        assert peaks.beside(12 * GIB, None) == "peak 12.00 GiB"
