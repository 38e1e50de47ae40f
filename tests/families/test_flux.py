"""FLUX as the kit trains and samples it, held against diffusers' own."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from PIL import Image
from torch import Tensor, nn

from bioicons_kit.errors import ModelError
from bioicons_kit.families import flow, load, starter
from bioicons_kit.families.base import Batch, Family
from bioicons_kit.families.flux import Flux, image_ids, pack, predict
from bioicons_kit.families.flux_sampler import unpack
from bioicons_kit.lora import adapter
from bioicons_kit.memory.levels import stored_bytes
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.preset import Memory, Model, Sample, Train
from tests.memory import small

CPU = torch.device("cpu")
TOKENS = 16
PLAIN = Memory(quantization="none", checkpointing=False, dtype="fp32")
OBJECTIVE = Train(timestep_sampling="flux_shift", guidance=1.0)
ROUNDING = {"rtol": 2e-5, "atol": 1e-6}  # float32, sums in another order

Build = Callable[[Memory], nn.Module]


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    return load(Model(path="starter", max_sequence_length=TOKENS), models)


@pytest.fixture(scope="module")
def build(family: Family) -> Build:
    def make(memory: Memory) -> nn.Module:
        return family.load_denoiser(memory, CPU, lambda _: None)[0]

    return make


@pytest.fixture(scope="module")
def plain(build: Build) -> nn.Module:
    return build(PLAIN)


def batch(rows: int = 2, height: int = 8, width: int = 8, seed: int = 0) -> Batch:
    """What the starter's encoders could have left of pictures of 8 times this size."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(rows, *shape, generator=generator)

    return Batch(
        tensors={
            "latents.mean": normal(16, height, width),
            "latents.logvar": normal(16, height, width) - 2,
            "t5.states": normal(TOKENS, 128),
            "clip.pooled": normal(128),
        },
        seeds=tuple(range(100, 100 + rows)),
        weights=torch.ones(rows),
    )


class TestGeometry:
    @pytest.mark.parametrize(("height", "width"), [(8, 8), (2, 12), (16, 6)])
    def test_is_that_of_diffusers(self, height: int, width: int):
        latents = torch.randn(2, 16, height, width)
        tokens = FluxPipeline._pack_latents(latents, 2, 16, height, width)
        assert torch.equal(pack(latents), tokens)
        assert torch.equal(unpack(tokens, height, width), latents)
        theirs = FluxPipeline._unpack_latents(tokens, height * 8, width * 8, 8)
        assert torch.equal(unpack(tokens, height, width), theirs)
        ids = FluxPipeline._prepare_latent_image_ids(2, height // 2, width // 2, CPU, torch.float32)
        assert torch.equal(image_ids(height // 2, width // 2, CPU), ids)

    def test_ids_are_zero_row_column(self):
        expected = [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
        assert image_ids(2, 3, CPU).tolist() == expected


class TestDenoiser:
    def test_unquantized_is_diffusers_own(self, plain: nn.Module, starter_folder: Path):
        theirs = FluxTransformer2DModel.from_pretrained(
            starter_folder / "transformer", dtype=torch.float32
        )
        ours, expected = plain.state_dict(), theirs.state_dict()
        assert ours.keys() == expected.keys()
        assert all(torch.equal(ours[name], value) for name, value in expected.items())

    @pytest.mark.parametrize("level", ["qfloat8", "qint8", "qint4", small.NF4])
    def test_every_linear_of_every_block_is_quantized(self, family: Family, level: str):
        denoiser, coverage = family.load_denoiser(
            Memory(quantization=level, dtype="bf16"), CPU, lambda _: None
        )
        linears = {n for n, m in denoiser.named_modules() if isinstance(m, nn.Linear)}
        in_blocks = {name for name in linears if "transformer_blocks." in name}
        assert set(coverage.quantized) == in_blocks
        assert all(isinstance(denoiser.get_submodule(n), QuantizedLinear) for n in in_blocks)
        assert len(linears - in_blocks) == 10
        assert coverage.quantized_parameters > 0.8 * coverage.parameters
        # two bytes for everything that stayed bfloat16
        stored = sum(
            stored_bytes(level, layer.out_features, layer.in_features)
            for layer in map(denoiser.get_submodule, in_blocks)
        )
        plain = coverage.parameters - coverage.quantized_parameters
        assert coverage.bytes == 2 * plain + stored
        share = {"qint4": 0.5, "nf4": 0.5}.get(level, 1.0)
        assert share < stored / coverage.quantized_parameters < 1.02 * share + 0.07
        assert not any(p.requires_grad for p in denoiser.parameters())

    def test_the_preset_may_say_what_is_kept(self, family: Family):
        memory = Memory(keep=(r".*norm.*", "x_embedder"))
        denoiser, coverage = family.load_denoiser(memory, CPU, lambda _: None)
        linears = {n for n, m in denoiser.named_modules() if isinstance(m, nn.Linear)}
        kept = {name for name in linears if "norm" in name} | {"x_embedder"}
        assert set(coverage.quantized) == linears - kept
        with pytest.raises(ModelError, match=r"memory\.keep: 'x_embeder' is the name of no"):
            family.load_denoiser(Memory(keep=("x_embeder",)), CPU, lambda _: None)

    def test_quantized_predicts_nearly_the_same(self, build: Build, plain: nn.Module):
        quantized = build(PLAIN.model_copy(update={"quantization": "qfloat8"}))
        given = batch()
        noisy, level = torch.randn(2, 16, 8, 8), torch.tensor([0.3, 0.8])
        with torch.no_grad():
            exact = predict(plain, noisy, level, 1.0, given.tensors)
            near = predict(quantized, noisy, level, 1.0, given.tensors)
        assert 0 < (near - exact).norm() / exact.norm() < 0.1

    def test_a_model_without_guidance_is_refused(self, starter_folder: Path, tmp_path: Path):
        schnell = tmp_path / "schnell"
        shutil.copytree(starter_folder, schnell)
        path = schnell / "transformer" / "config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, "guidance_embeds": False}))
        with pytest.raises(ModelError, match=r"transformer: has no guidance embedding"):
            Flux(Model(path=str(schnell)), tmp_path)

    @pytest.mark.parametrize("text", ["{}", "[]", "{", '{"shift_factor": "a"}'])
    def test_a_vae_without_scaling_is_refused(
        self, starter_folder: Path, tmp_path: Path, text: str
    ):
        shutil.copytree(starter_folder, tmp_path / "model")
        (tmp_path / "model" / "vae" / "config.json").write_text(text)
        with pytest.raises(ModelError, match=r"vae/config\.json: "):
            Flux(Model(path=str(tmp_path / "model")), tmp_path)

    def test_bytes_are_those_on_disk(self, family: Family, starter_folder: Path):
        files = (starter_folder / "transformer").glob("*.safetensors")
        read: list[int] = []
        family.load_denoiser(PLAIN, CPU, read.append)
        assert family.denoiser_bytes() == sum(path.stat().st_size for path in files)
        assert 0.95 * family.denoiser_bytes() < sum(read) < family.denoiser_bytes()


def reference_loss(starter_folder: Path, given: Batch, objective: Train) -> Tensor:
    """The loss written down once more, with nothing but torch and diffusers."""
    model = FluxTransformer2DModel.from_pretrained(
        starter_folder / "transformer", dtype=torch.float32
    )
    mean, logvar = given.tensors["latents.mean"], given.tensors["latents.logvar"]
    rows, _, height, width = mean.shape
    draws = flow.draw(given.seeds, mean.shape[1:])
    spread = 0 if objective.latents == "mode" else torch.exp(0.5 * logvar) * draws.posterior
    clean = 0.3611 * (mean + spread - 0.1159)
    losses = []
    for row in range(rows):
        u = draws.uniform[row].item()
        if objective.timestep_sampling == "flux_shift":
            count = height * width // 4
            k = 2.718281828459045 ** (0.5 + (count - 256) * (1.15 - 0.5) / (4096 - 256))
            s = k / (k + 1 / u - 1)
        else:
            s = u
        noisy = (1 - s) * clean[row] + s * draws.noise[row]
        with torch.no_grad():
            (predicted,) = model(
                hidden_states=FluxPipeline._pack_latents(noisy[None], 1, 16, height, width),
                timestep=torch.tensor([s], dtype=torch.float32),
                guidance=torch.tensor([objective.guidance]),
                pooled_projections=given.tensors["clip.pooled"][row : row + 1],
                encoder_hidden_states=given.tensors["t5.states"][row : row + 1],
                txt_ids=torch.zeros(TOKENS, 3),
                img_ids=FluxPipeline._prepare_latent_image_ids(
                    1, height // 2, width // 2, CPU, torch.float32
                ),
                return_dict=False,
            )
        velocity = FluxPipeline._unpack_latents(predicted, height * 8, width * 8, 8)[0]
        errors = (velocity - (draws.noise[row] - clean[row])).square()
        weight = given.tensors.get("mask.weight", torch.ones(rows, height, width))[row]
        losses.append((errors * weight).sum() / (16 * weight.sum()))
    return torch.stack(losses)


def randomize_lora(denoiser: nn.Module) -> dict[str, nn.Parameter]:
    """Attach a LoRA that changes the output, the same each time."""
    targets = adapter.target_modules(denoiser, ["attention"], Flux.target_sets)
    torch.manual_seed(0)
    parameters = adapter.attach(denoiser, targets, 4, None, 0.0)
    for parameter in parameters:
        nn.init.normal_(parameter, std=0.05)
    return {name: p for name, p in denoiser.named_parameters() if p.requires_grad}


class TestLoss:
    @pytest.mark.parametrize(
        ("objective", "size"),
        [
            (OBJECTIVE, (8, 8)),
            (Train(timestep_sampling="uniform", guidance=3.5), (8, 12)),
            (Train(latents="mode"), (8, 8)),
        ],
    )
    def test_equals_a_plain_computation(
        self,
        family: Family,
        plain: nn.Module,
        starter_folder: Path,
        objective: Train,
        size: tuple[int, int],
    ):
        given = batch(3, *size)
        with torch.no_grad():
            loss = family.loss(plain, given, objective)
        assert loss.shape == (3,)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(
            loss, reference_loss(starter_folder, given, objective), **ROUNDING
        )

    def test_looks_where_the_mask_says(
        self, family: Family, plain: nn.Module, starter_folder: Path
    ):
        given = batch(2, 8, 12)
        weight = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(3))
        masked = Batch({**given.tensors, "mask.weight": weight}, given.seeds, given.weights)
        even = Batch(
            {**given.tensors, "mask.weight": torch.full((2, 8, 12), 0.3)},
            given.seeds,
            given.weights,
        )
        none = Batch(
            {**given.tensors, "mask.weight": torch.zeros(2, 8, 12)}, given.seeds, given.weights
        )
        with torch.no_grad():
            loss, masked_loss, even_loss, no_loss = (
                family.loss(plain, each, OBJECTIVE) for each in (given, masked, even, none)
            )
        expected = reference_loss(starter_folder, masked, OBJECTIVE)
        torch.testing.assert_close(masked_loss, expected, **ROUNDING)
        assert (masked_loss - loss).abs().min() > 1e-4
        torch.testing.assert_close(even_loss, loss, **ROUNDING)  # normalized: no scale of its own
        assert torch.equal(no_loss, torch.zeros(2))

    def test_of_a_sample_does_not_depend_on_its_company(self, family: Family, plain: nn.Module):
        given = batch(3)
        with torch.no_grad():
            together = family.loss(plain, given, OBJECTIVE)
            for row in range(3):
                alone = Batch(
                    {name: t[row : row + 1] for name, t in given.tensors.items()},
                    given.seeds[row : row + 1],
                    given.weights[row : row + 1],
                )
                torch.testing.assert_close(
                    family.loss(plain, alone, OBJECTIVE), together[row : row + 1], **ROUNDING
                )

    @pytest.mark.parametrize("key", ["t5.states", "clip.pooled", "latents.mean", "latents.logvar"])
    def test_depends_on_all_that_was_encoded(self, family: Family, plain: nn.Module, key: str):
        given, other = batch(), batch(seed=1)
        mixed = Batch({**given.tensors, key: other.tensors[key]}, given.seeds, given.weights)
        with torch.no_grad():
            losses = [family.loss(plain, each, OBJECTIVE) for each in (given, mixed)]
        assert (losses[0] != losses[1]).all()

    def test_depends_on_guidance(self, family: Family, plain: nn.Module):
        with torch.no_grad():
            losses = [family.loss(plain, batch(), Train(guidance=g)) for g in (1.0, 3.5)]
        assert (losses[0] != losses[1]).all()

    def test_is_the_same_with_checkpointing_and_so_are_the_gradients(
        self, family: Family, build: Build
    ):
        results, calls = [], []
        for checkpointing in (False, True):
            denoiser = build(
                Memory(quantization="qfloat8", dtype="fp32", checkpointing=checkpointing)
            )
            parameters = randomize_lora(denoiser)
            denoiser.train()
            count: list[int] = []
            denoiser.get_submodule("single_transformer_blocks.3.proj_mlp").register_forward_hook(
                lambda *_, count=count: count.append(1)
            )
            loss = family.loss(denoiser, batch(), OBJECTIVE)
            loss.mean().backward()
            results.append((loss.detach(), {n: p.grad for n, p in parameters.items()}))
            calls.append(len(count))
        assert calls == [1, 2], "each block is computed once more in the backward pass"
        (loss, grads), (loss_again, grads_again) = results
        assert torch.equal(loss, loss_again)
        assert grads.keys() == grads_again.keys()
        for name, grad in grads.items():
            assert grad is not None, name
            torch.testing.assert_close(grad, grads_again[name], rtol=1e-6, atol=1e-9)

    def test_reaches_every_adapter_and_nothing_else(self, family: Family, build: Build):
        denoiser = build(Memory(quantization="qint8", dtype="bf16"))
        parameters = randomize_lora(denoiser)
        denoiser.train()
        family.loss(denoiser, batch(), OBJECTIVE).mean().backward()
        assert all("lora_" in name for name in parameters)
        assert all(p.dtype == torch.float32 for p in parameters.values())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters.values())
        assert all(p.grad is None for n, p in denoiser.named_parameters() if n not in parameters)


class TestTimesteps:
    def seen(self, denoiser: nn.Module, level: Tensor, given: Batch) -> Tensor:
        """What the timestep embedding is given."""
        found: list[Tensor] = []
        hook = denoiser.get_submodule("time_text_embed.time_proj").register_forward_pre_hook(
            lambda _module, args: found.append(args[0])
        )
        noisy = torch.zeros(len(level), 16, 8, 8)
        with torch.no_grad():
            predict(denoiser, noisy, level, 1.0, given.tensors)
        hook.remove()
        return found[0]  # the second one is the guidance's

    @pytest.mark.parametrize("dtype", ["bf16", "fp32"])
    @pytest.mark.parametrize("adapted", [False, True], ids=["bare", "adapted"])
    def test_stay_float32_all_the_way(self, build: Build, dtype: str, adapted: bool):
        denoiser = build(Memory(quantization="qfloat8", dtype=dtype))
        if adapted:
            randomize_lora(denoiser)
        level = torch.tensor([0.123456, 0.999321])
        assert not torch.equal(level.to(torch.bfloat16).float(), level)
        for _ in range(2):  # nothing of one call stays for the next
            seen = self.seen(denoiser, level, batch())
            assert seen.dtype == torch.float32
            assert torch.equal(seen, level * 1000)
            level = level.flip(0)

    def test_in_another_format_are_left_to_diffusers(self, build: Build):
        denoiser = build(Memory(quantization="none", dtype="bf16"))
        given = batch()
        self.seen(denoiser, torch.tensor([0.5, 0.5]), given)
        level = torch.tensor([0.123456, 0.999321], dtype=torch.bfloat16)
        assert torch.equal(self.seen(denoiser, level, given), level * 1000)


class TestTargets:
    def chosen(self, denoiser: nn.Module, name: str) -> set[str]:
        return set(adapter.target_modules(denoiser, [name], Flux.target_sets))

    def test_sets_on_the_starter(self, plain: nn.Module):
        attention, feed_forward, everything = (
            self.chosen(plain, name) for name in ("attention", "feed_forward", "all")
        )
        double, single = (starter.TRANSFORMER[name] for name in ("num_layers", "num_single_layers"))
        assert len(attention) == double * 8 + single * 3
        assert len(feed_forward) == double * 4 + single * 2
        assert attention.isdisjoint(feed_forward)
        rest = everything - attention - feed_forward
        assert len(rest) == double * 2 + single
        assert all(re.search(r"\.norm(1|1_context)?\.linear$", name) for name in rest)

    def test_sets_on_the_full_flux(self):
        with init_empty_weights():  # the class's defaults are FLUX.1's sizes
            denoiser = FluxTransformer2DModel(guidance_embeds=True)
        assert sum(p.numel() for p in denoiser.parameters()) == 11_901_408_320
        attention = self.chosen(denoiser, "attention")
        assert len(attention) == 19 * 8 + 38 * 3 == 266
        assert len(self.chosen(denoiser, "feed_forward")) == 19 * 4 + 38 * 2
        assert len(self.chosen(denoiser, "all")) == 19 * 14 + 38 * 6
        widths = [denoiser.get_submodule(name) for name in attention]
        assert 16 * sum(m.in_features + m.out_features for m in widths) == 26_148_864


class TestSampler:
    SETTINGS = Sample(steps=2, guidance=3.5)

    @pytest.fixture
    def text(self) -> dict[str, Tensor]:
        tensors = batch(1).tensors
        return {name: tensors[name][0] for name in ("t5.states", "clip.pooled")}

    def draw(
        self,
        family: Family,
        denoiser: nn.Module,
        text: dict[str, Tensor],
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
    ) -> Image.Image:
        steps: list[None] = []
        sampler = family.sampler(denoiser, CPU)
        picture = sampler(text, seed, self.SETTINGS, size, lambda: steps.append(None))
        assert len(steps) == self.SETTINGS.steps
        return picture

    def test_draws_what_diffusers_pipeline_draws(
        self, family: Family, plain: nn.Module, text: dict[str, Tensor], starter_folder: Path
    ):
        pipeline = FluxPipeline.from_pretrained(starter_folder, dtype=torch.float32)
        assert pipeline.vae.dtype == torch.float32
        pipeline.set_progress_bar_config(disable=True)
        expected = pipeline(
            prompt_embeds=text["t5.states"][None],
            pooled_prompt_embeds=text["clip.pooled"][None],
            width=96,
            height=64,
            num_inference_steps=2,
            guidance_scale=3.5,
            generator=torch.Generator().manual_seed(5),
        ).images[0]
        picture = self.draw(family, plain, text, 5, (96, 64))
        assert picture.mode == "RGB"
        assert picture.size == expected.size == (96, 64)
        difference = torch.tensor(list(picture.tobytes())) - torch.tensor(list(expected.tobytes()))
        assert difference.abs().max() <= 1

    def test_the_same_seed_draws_the_same_and_another_another(
        self, family: Family, build: Build, text: dict[str, Tensor]
    ):
        denoiser = build(Memory(quantization="qfloat8", dtype="bf16"))
        first, again, other = (self.draw(family, denoiser, text, seed) for seed in (1, 1, 2))
        assert first.tobytes() == again.tobytes()
        assert first.tobytes() != other.tobytes()

    def test_another_text_draws_another_picture(
        self, family: Family, plain: nn.Module, text: dict[str, Tensor]
    ):
        pictures = {
            self.draw(family, plain, {**text, **change}).tobytes()
            for change in (
                {},
                {"t5.states": -text["t5.states"]},
                {"clip.pooled": -text["clip.pooled"]},
            )
        }
        assert len(pictures) == 3

    def test_decodes_in_float32(self, family: Family, plain: nn.Module):
        sampler = family.sampler(plain, CPU)
        vaes = [value for value in vars(sampler._pipeline).values() if isinstance(value, nn.Module)]
        (vae,) = (module for module in vaes if isinstance(module, AutoencoderKL))
        assert vae.dtype == torch.float32

    def test_leaves_no_gradients_and_no_mode_behind(
        self, family: Family, build: Build, text: dict[str, Tensor]
    ):
        denoiser = build(Memory(quantization="qint8", dtype="fp32"))
        parameters = randomize_lora(denoiser)
        self.draw(family, denoiser, text)
        family.loss(denoiser, batch(), OBJECTIVE).mean().backward()
        assert all(p.grad is not None for p in parameters.values())
